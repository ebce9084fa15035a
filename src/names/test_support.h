// SPDX-License-Identifier: Apache-2.0
// For the tests of this room alone: queries as clients write them, answers as clients read them.
#pragma once
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "base/text.h"
#include "names/message.h"

namespace berth::names {

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

using Message = std::vector<unsigned char>;

inline void append16(Message& out, std::size_t value) {
  out.push_back(static_cast<unsigned char>(value >> 8));
  out.push_back(static_cast<unsigned char>(value));
}

inline void append_name(Message& out, std::string_view name) {
  for (std::string_view label : split(name, '.')) {
    if (label.empty()) continue;
    out.push_back(static_cast<unsigned char>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
  }
  out.push_back(0);
}

struct Asked {
  std::uint16_t id = 0x1234;
  std::uint16_t type = record_type::a;
  std::uint16_t of_class = kClassInternet;
  std::size_t edns_size = 0;  // 0: without EDNS
  std::uint8_t edns_version = 0;
};

inline Message make_query(std::string_view name, const Asked& asked = {}) {
  Message out;
  append16(out, asked.id);
  append16(out, 0x0100);  // recursion desired
  append16(out, 1);
  append16(out, 0);
  append16(out, 0);
  append16(out, asked.edns_size ? 1 : 0);
  append_name(out, name);
  append16(out, asked.type);
  append16(out, asked.of_class);
  if (asked.edns_size) {
    out.push_back(0);
    append16(out, record_type::opt);
    append16(out, asked.edns_size);
    append16(out, asked.edns_version);
    append16(out, 0);
    append16(out, 0);
  }
  return out;
}

struct Answer {
  Header header;
  Question question;
  std::vector<std::string> addresses;  // of A and AAAA records
  std::vector<std::string> pointers;
  std::vector<std::uint32_t> ttls;
  bool edns = false;
  int rcode = 0;  // with the part that EDNS has
  std::size_t size = 0;
};

// Fails the test when the message is not well-formed to its last byte.
inline Answer read_answer(Bytes bytes) {
  Answer answer;
  answer.size = bytes.size();
  std::optional<MessageReader> reader = MessageReader::open(bytes);
  if (!reader) throw std::runtime_error("there is no answer");
  answer.header = reader->header();
  answer.rcode = answer.header.rcode();
  if (answer.header.questions == 1 && !reader->read(answer.question))
    throw std::runtime_error("the question is malformed");
  const int records = answer.header.answers + answer.header.authorities + answer.header.additionals;
  for (int i = 0; i < records; ++i) {
    Record record;
    if (!reader->read(record)) throw std::runtime_error("a record is malformed");
    if (record.type == record_type::opt) {
      answer.edns = true;
      answer.rcode |= static_cast<int>(record.ttl >> 24) << 4;
      continue;
    }
    const auto name_at = [&](Bytes part) {
      MessageReader inner = *reader;
      inner.seek(static_cast<std::size_t>(part.data() - bytes.data()));
      std::string name;
      std::size_t labels = 0;
      EXPECT_TRUE(inner.read_name(name, labels));
      return name;
    };
    EXPECT_EQ(name_at(record.owner), answer.question.name);
    answer.ttls.push_back(record.ttl);
    if (record.type == record_type::a || record.type == record_type::aaaa) {
      Address address{.is_v6 = record.type == record_type::aaaa};
      EXPECT_EQ(record.data.size(), address.wire().size());
      std::copy(record.data.begin(), record.data.end(), address.bytes.begin());
      answer.addresses.push_back(address.text());
    }
    if (record.type == record_type::ptr) answer.pointers.push_back(name_at(record.data));
  }
  EXPECT_TRUE(reader->at_end());
  return answer;
}

}  // namespace berth::names
