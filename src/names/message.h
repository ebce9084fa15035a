// SPDX-License-Identifier: Apache-2.0
// DNS messages: reading queries strictly, writing answers. RFC 1035 (4.1, the format; 4.1.4, compression),
// RFC 2181 (names, section 11), RFC 3596 (AAAA), RFC 6891 (EDNS).
//
// Queries come from containers and answers from servers on the network: every byte is hostile. Reading never
// goes outside of what came, and its work is bounded by its size.
#pragma once
#include <algorithm>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "names/address.h"

namespace berth::names {

using Bytes = std::span<const unsigned char>;

inline constexpr std::size_t kHeaderSize = 12;
inline constexpr std::size_t kSmallestDatagram = 512;  // what every client takes: RFC 1035, 4.2.1
inline constexpr std::size_t kLargestDatagram =
    4096;  // more is never sent over UDP, whatever the client says
inline constexpr std::size_t kLargestMessage = 65'535;  // over TCP

enum class Rcode : std::uint16_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  no_such_name = 3,
  not_implemented = 4,
  refused = 5,
  bad_version = 16,  // RFC 6891, 6.1.3: its upper bits are in the OPT record
};

namespace record_type {
inline constexpr std::uint16_t a = 1, soa = 6, ptr = 12, txt = 16, aaaa = 28, opt = 41, svcb = 64, https = 65,
                               any = 255;
}
inline constexpr std::uint16_t kClassInternet = 1;

struct Header {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::uint16_t questions = 0, answers = 0, authorities = 0, additionals = 0;

  bool is_response() const { return flags & 0x8000; }
  int opcode() const { return (flags >> 11) & 15; }
  bool truncated() const { return flags & 0x0200; }
  bool recursion_desired() const { return flags & 0x0100; }
  int rcode() const { return flags & 15; }
};

struct Question {
  // Lower case, without the last dot; the root is "". Bytes that no host name has are escaped, as zone files
  // have them (RFC 1035, 5.1): such a name equals none of ours.
  std::string name;
  std::size_t labels = 0;
  std::uint16_t type = 0;
  std::uint16_t of_class = 0;
  bool operator==(const Question&) const = default;
};

struct Record {
  Bytes owner;  // within the message, as it came: labels, and perhaps a pointer that nobody has followed
  std::uint16_t type = 0;
  std::uint16_t of_class = 0;
  std::uint32_t ttl = 0;  // seconds
  Bytes data;             // within the message
};

// Goes over a message from its begin: header, questions, records. After a false it is of no more use.
class MessageReader {
 public:
  static std::optional<MessageReader> open(Bytes message);  // nothing: too short for a header
  const Header& header() const { return header_; }
  bool read(Question& question);
  // Goes past the owner without expanding it: a few thousand pointers to one long name would have it expanded
  // as often.
  bool read(Record& record);
  bool read_name(std::string& name, std::size_t& labels);
  std::size_t position() const { return position_; }
  bool at_end() const { return position_ == message_.size(); }
  void seek(std::size_t position) {
    position_ = std::min(position, message_.size());
  }  // to the names within a record

 private:
  explicit MessageReader(Bytes message) : message_(message) {}
  bool take(std::uint16_t& value);
  bool skip_name();
  Bytes message_;
  Header header_;
  std::size_t position_ = kHeaderSize;
};

struct Edns {
  std::uint16_t datagram_size = 0;  // what the client can take
  std::uint8_t version = 0;
  bool dnssec_ok = false;
};

struct Query {
  Header header;
  Question question;
  std::size_t question_end = 0;  // offset of what follows the question
  std::optional<Edns> edns;

  std::size_t datagram_limit() const;  // of an answer to it, in bytes
};

// What is said to a query that is none. Nothing: it is dropped (no header, or a response: answering those
// would make two servers talk to each other forever).
struct Refusal {
  std::optional<Rcode> rcode;
};
std::expected<Query, Refusal> parse_query(Bytes message);
inline constexpr std::size_t kMostQueryRecords =
    4;  // OPT and a signature are two; a query with more is refused

// The header alone, for what could not be read. `out` has room for kHeaderSize.
std::size_t write_refusal(Bytes query, Rcode rcode, std::span<unsigned char> out);

// Writes the answer to a query, whose bytes must stay while it does. The question is repeated byte by byte,
// so that a client which checks the case of its letters finds them; answers' owners point to it.
class AnswerWriter {
 public:
  // `out` has at least kSmallestDatagram; the answer takes no more than it and than `limit`.
  AnswerWriter(Bytes message, const Query& query, std::size_t limit, std::span<unsigned char> out);
  // False: there is no room left; the answer is marked as truncated.
  bool add_address(const Address& address, std::uint32_t ttl);
  bool add_pointer(std::string_view name, std::uint32_t ttl);  // a name for which valid_name() holds
  // The whole size. `authoritative`: it is our own name.
  std::size_t finish(Rcode rcode, bool authoritative);

 private:
  bool begin_record(std::uint16_t type, std::uint32_t ttl, std::size_t data_size);
  void put16(std::size_t value);
  const Query& query_;
  std::span<unsigned char> out_;
  std::size_t limit_;
  std::size_t size_ = 0;
  std::uint16_t answers_ = 0;
  bool truncated_ = false;
};

// Whether `answer` answers `query`, which was sent under `id`: RFC 5452, 9.1. Some servers leave the question
// out of an error; that is accepted as an error alone.
bool answers_query(Bytes answer, std::uint16_t id, const Question& question);

// Cuts an answer that is too long for a datagram to its question, marked as truncated.
void truncate_answer(std::vector<unsigned char>& answer, const Query& query);

// A name that a query can ask for and that is a host's or a container's: letters, digits, '-', '_', dots
// between labels of 1 to 63 characters, 253 in all.
bool valid_name(std::string_view name);

// "10.2.0.192.in-addr.arpa" and the like as the address that is asked about: RFC 1035, 3.5; RFC 3596, 2.5.
std::optional<Address> address_of_reverse_name(std::string_view name);
std::string reverse_name(const Address& address);

}  // namespace berth::names
