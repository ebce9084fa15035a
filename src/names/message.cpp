// SPDX-License-Identifier: Apache-2.0
#include "names/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <ranges>

#include "base/text.h"

namespace berth::names {
namespace {

constexpr std::size_t kLargestName = 255;  // on the wire, with the lengths and the root
constexpr int kMostPointers = 16;          // a name of one label has no use for more than one or two
constexpr std::size_t kOptSize = 11;       // an OPT record without options
constexpr std::uint16_t kPointerToQuestion = 0xC000 | kHeaderSize;

constexpr std::uint16_t kResponse = 0x8000, kOpcode = 0x7800, kAuthoritative = 0x0400, kTruncated = 0x0200,
                        kRecursionDesired = 0x0100, kRecursionAvailable = 0x0080, kCheckingDisabled = 0x0010;

std::uint16_t get16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void set16(std::span<unsigned char> bytes, std::size_t at, std::size_t value) {
  bytes[at] = static_cast<unsigned char>(value >> 8);
  bytes[at + 1] = static_cast<unsigned char>(value);
}

void append_label(std::string& name, Bytes label) {
  if (!name.empty()) name += '.';
  for (unsigned char byte : label) {
    if (byte >= 'A' && byte <= 'Z')
      name += static_cast<char>(byte - 'A' + 'a');
    else if (byte == '.' || byte == '\\')
      name.append({'\\', static_cast<char>(byte)});
    else if (byte > ' ' && byte < 127)
      name += static_cast<char>(byte);
    else
      fmt::format_to(std::back_inserter(name), "\\{:03}", byte);
  }
}

}  // namespace

std::optional<MessageReader> MessageReader::open(Bytes message) {
  if (message.size() < kHeaderSize || message.size() > kLargestMessage) return std::nullopt;
  MessageReader reader(message);
  reader.header_ = {get16(message, 0), get16(message, 2), get16(message, 4),
                    get16(message, 6), get16(message, 8), get16(message, 10)};
  return reader;
}

bool MessageReader::take(std::uint16_t& value) {
  if (message_.size() - position_ < 2) return false;
  value = get16(message_, position_);
  position_ += 2;
  return true;
}

bool MessageReader::read_name(std::string& name, std::size_t& labels) {
  name.clear();
  labels = 0;
  std::size_t at = position_, length = 1, after = 0;
  // Each pointer has to lead before all that was read of the name so far, so there is no way to go in
  // circles.
  std::size_t begin = position_;
  int pointers = 0;
  for (;;) {
    if (at >= message_.size()) return false;
    const unsigned char size = message_[at];
    if ((size & 0xC0) == 0xC0) {
      if (message_.size() - at < 2 || ++pointers > kMostPointers) return false;
      const std::size_t target = get16(message_, at) & 0x3FFF;
      if (target < kHeaderSize || target >= begin) return false;
      if (after == 0) after = at + 2;
      at = begin = target;
      continue;
    }
    if (size & 0xC0) return false;
    ++at;
    if (size == 0) break;
    length += size + 1u;
    if (length > kLargestName || message_.size() - at < size) return false;
    append_label(name, message_.subspan(at, size));
    ++labels;
    at += size;
  }
  position_ = after ? after : at;
  return true;
}

bool MessageReader::read(Question& question) {
  return read_name(question.name, question.labels) && take(question.type) && take(question.of_class);
}

bool MessageReader::skip_name() {
  const std::size_t begin = position_;
  while (position_ < message_.size()) {
    const unsigned char size = message_[position_];
    const bool pointer = (size & 0xC0) == 0xC0;
    if (!pointer && (size & 0xC0)) return false;
    const std::size_t step = pointer ? 2 : size + 1u;
    if (message_.size() - position_ < step) return false;
    position_ += step;
    if (position_ - begin > kLargestName) return false;
    if (pointer || size == 0) return true;
  }
  return false;
}

bool MessageReader::read(Record& record) {
  const std::size_t begin = position_;
  std::uint16_t high = 0, low = 0, size = 0;
  if (!skip_name()) return false;
  record.owner = message_.subspan(begin, position_ - begin);
  if (!take(record.type) || !take(record.of_class) || !take(high) || !take(low) || !take(size) ||
      message_.size() - position_ < size)
    return false;
  record.ttl = static_cast<std::uint32_t>(high) << 16 | low;
  record.data = message_.subspan(position_, size);
  position_ += size;
  return true;
}

std::size_t Query::datagram_limit() const {
  if (!edns) return kSmallestDatagram;
  return std::clamp<std::size_t>(edns->datagram_size, kSmallestDatagram, kLargestDatagram);
}

std::expected<Query, Refusal> parse_query(Bytes message) {
  std::optional<MessageReader> reader = MessageReader::open(message);
  if (!reader) return std::unexpected(Refusal{});
  Query query;
  query.header = reader->header();
  if (query.header.is_response()) return std::unexpected(Refusal{});
  if (query.header.opcode() != 0) return std::unexpected(Refusal{Rcode::not_implemented});
  const auto malformed = std::unexpected(Refusal{Rcode::format_error});
  const std::size_t before_additional = query.header.answers + std::size_t{query.header.authorities};
  const std::size_t records = before_additional + query.header.additionals;
  if (records > kMostQueryRecords) return malformed;
  if (query.header.questions != 1 || !reader->read(query.question)) return malformed;
  query.question_end = reader->position();

  Record record;
  for (std::size_t i = 0; i < records; ++i) {
    if (!reader->read(record)) return malformed;
    if (record.type != record_type::opt) continue;
    if (query.edns || i < before_additional || record.owner.size() != 1) return malformed;  // 1: the root
    query.edns =
        Edns{record.of_class, static_cast<std::uint8_t>(record.ttl >> 16), (record.ttl & 0x8000) != 0};
  }
  if (!reader->at_end()) return malformed;
  return query;
}

std::size_t write_refusal(Bytes query, Rcode rcode, std::span<unsigned char> out) {
  std::ranges::fill(out.first(kHeaderSize), 0);
  std::copy_n(query.begin(), 2, out.begin());
  const std::uint16_t kept = get16(query, 2) & (kOpcode | kRecursionDesired);
  set16(out, 2, kResponse | kRecursionAvailable | kept | (static_cast<unsigned>(rcode) & 15));
  return kHeaderSize;
}

AnswerWriter::AnswerWriter(Bytes message, const Query& query, std::size_t limit, std::span<unsigned char> out)
    : query_(query), out_(out), limit_(std::min(limit, out.size())), size_(query.question_end) {
  // A question of up to 271 bytes always fits.
  std::copy_n(message.begin(), size_, out.begin());
  if (query.edns) limit_ -= kOptSize;
}

void AnswerWriter::put16(std::size_t value) {
  set16(out_, size_, value);
  size_ += 2;
}

bool AnswerWriter::begin_record(std::uint16_t type, std::uint32_t ttl, std::size_t data_size) {
  if (truncated_ || size_ + 12 + data_size > limit_ || answers_ == UINT16_MAX) {
    truncated_ = true;
    return false;
  }
  put16(kPointerToQuestion);
  put16(type);
  put16(kClassInternet);
  put16(ttl >> 16);
  put16(ttl & 0xFFFF);
  put16(data_size);
  ++answers_;
  return true;
}

bool AnswerWriter::add_address(const Address& address, std::uint32_t ttl) {
  const Bytes bytes = address.wire();
  if (!begin_record(address.is_v6 ? record_type::aaaa : record_type::a, ttl, bytes.size())) return false;
  std::ranges::copy(bytes, out_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += bytes.size();
  return true;
}

bool AnswerWriter::add_pointer(std::string_view name, std::uint32_t ttl) {
  if (!begin_record(record_type::ptr, ttl, name.size() + 2)) return false;
  for (std::string_view label : split(name, '.')) {
    out_[size_++] = static_cast<unsigned char>(label.size());
    for (char letter : label) out_[size_++] = static_cast<unsigned char>(letter);
  }
  out_[size_++] = 0;
  return true;
}

std::size_t AnswerWriter::finish(Rcode rcode, bool authoritative) {
  const unsigned code = static_cast<unsigned>(rcode);
  if (query_.edns) {  // RFC 6891, 6.1.1: who asks with it is answered with it
    out_[size_++] = 0;
    put16(record_type::opt);
    put16(kLargestDatagram);
    put16((code >> 4) << 8);
    put16(query_.edns->dnssec_ok ? 0x8000 : 0);
    put16(0);
  }
  unsigned flags = kResponse | kRecursionAvailable | (code & 15);
  flags |= query_.header.flags & (kRecursionDesired | kCheckingDisabled);
  if (authoritative) flags |= kAuthoritative;
  if (truncated_) flags |= kTruncated;
  set16(out_, 2, flags);
  set16(out_, 4, 1);
  set16(out_, 6, answers_);
  set16(out_, 8, 0);
  set16(out_, 10, query_.edns ? 1 : 0);
  return size_;
}

bool answers_query(Bytes answer, std::uint16_t id, const Question& question) {
  std::optional<MessageReader> reader = MessageReader::open(answer);
  if (!reader) return false;
  const Header& header = reader->header();
  if (!header.is_response() || header.id != id || header.opcode() != 0) return false;
  if (header.questions == 0) return header.rcode() != 0 && header.answers == 0;
  Question repeated;
  return header.questions == 1 && reader->read(repeated) && repeated == question;
}

void truncate_answer(std::vector<unsigned char>& answer, const Query& query) {
  std::optional<MessageReader> reader = MessageReader::open(answer);
  Question question;
  std::size_t size = kHeaderSize;
  bool has_question = reader && reader->header().questions == 1 && reader->read(question);
  if (has_question) size = reader->position();
  answer.resize(size);
  answer[2] |= kTruncated >> 8;
  set16(answer, 4, has_question ? 1 : 0);
  for (std::size_t count : {6u, 8u, 10u}) set16(answer, count, 0);
  if (!query.edns) return;
  const unsigned char opt[kOptSize] = {0, 0, record_type::opt, kLargestDatagram >> 8,
                                       kLargestDatagram & 0xFF};
  answer.insert(answer.end(), std::begin(opt), std::end(opt));
  if (query.edns->dnssec_ok) answer[size + 7] = 0x80;
  set16(answer, 10, 1);
}

bool valid_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  for (char letter : name) {
    if (letter == '.') {
      if (label == 0) return false;
      label = 0;
      continue;
    }
    const bool fine = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                      (letter >= '0' && letter <= '9') || letter == '-' || letter == '_';
    if (!fine || ++label > 63) return false;
  }
  return label > 0;
}

std::optional<Address> address_of_reverse_name(std::string_view name) {
  constexpr std::string_view v4 = ".in-addr.arpa", v6 = ".ip6.arpa";
  Address address;
  if (name.ends_with(v4)) {
    const std::vector<std::string_view> parts = split(name.substr(0, name.size() - v4.size()), '.');
    if (parts.size() != 4) return std::nullopt;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto part = parse_integer<std::uint8_t>(parts[3 - i]);
      if (!part || (parts[3 - i].size() > 1 && parts[3 - i][0] == '0')) return std::nullopt;
      address.bytes[i] = *part;
    }
    return address;
  }
  if (!name.ends_with(v6)) return std::nullopt;
  const std::string_view digits = name.substr(0, name.size() - v6.size());
  if (digits.size() != 63) return std::nullopt;
  address.is_v6 = true;
  for (std::size_t i = 0; i < 32; ++i) {
    const std::size_t at = 62 - 2 * i;
    const auto digit = parse_integer<std::uint8_t>(digits.substr(at, 1), 16);
    if (!digit || (at > 0 && digits[at - 1] != '.')) return std::nullopt;
    address.bytes[i / 2] = static_cast<unsigned char>(address.bytes[i / 2] << 4 | *digit);
  }
  return address;
}

std::string reverse_name(const Address& address) {
  std::string name;
  if (!address.is_v6)
    return fmt::format("{}.{}.{}.{}.in-addr.arpa", address.bytes[3], address.bytes[2], address.bytes[1],
                       address.bytes[0]);
  for (unsigned char byte : std::views::reverse(address.bytes))
    fmt::format_to(std::back_inserter(name), "{:x}.{:x}.", byte & 15, byte >> 4);
  return name + "ip6.arpa";
}

}  // namespace berth::names
