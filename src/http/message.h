// SPDX-License-Identifier: Apache-2.0
// The parts of an HTTP/1.1 message (RFC 9110, RFC 9112) that server and client share.
#pragma once
#include <sys/types.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace berth::http {

bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept;

// Header fields in the order they came or will be sent. Names compare without regard to case.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;
  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  std::optional<std::string_view> get(std::string_view name) const noexcept;  // the first of that name
  std::string_view get_or(std::string_view name, std::string_view otherwise) const noexcept;
  bool has(std::string_view name) const noexcept { return get(name).has_value(); }
  std::size_t count(std::string_view name) const noexcept;
  // Whether `token` is an element of the comma-separated lists of that name: has_token("Connection",
  // "close").
  bool has_token(std::string_view name, std::string_view token) const noexcept;

  void set(std::string_view name, std::string_view value);  // replaces all of that name
  void add(std::string_view name, std::string_view value);
  void remove(std::string_view name);

  auto begin() const noexcept { return fields_.begin(); }
  auto end() const noexcept { return fields_.end(); }
  std::size_t size() const noexcept { return fields_.size(); }

 private:
  std::vector<Field> fields_;
};

// The decoded parameters of a query string, in order; a name may occur more than once.
class Query {
 public:
  static Result<Query> parse(std::string_view text);  // what follows '?'; bad %-escapes are an error

  std::optional<std::string_view> get(std::string_view name) const noexcept;  // the first of that name
  std::string_view get_or(std::string_view name, std::string_view otherwise) const noexcept;
  std::vector<std::string_view> all(std::string_view name) const;
  bool has(std::string_view name) const noexcept { return get(name).has_value(); }

  void add(std::string_view name, std::string_view value);
  std::string text() const;  // "a=1&b=x%20y": percent-encoded, without '?'

  auto begin() const noexcept { return parameters_.begin(); }
  auto end() const noexcept { return parameters_.end(); }
  std::size_t size() const noexcept { return parameters_.size(); }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

// Who is at the other end of a server's connection.
struct Peer {
  uid_t uid = static_cast<uid_t>(-1);  // unix sockets (SO_PEERCRED); otherwise -1
  gid_t gid = static_cast<gid_t>(-1);
  pid_t pid = 0;              // 0 when unknown
  std::vector<gid_t> groups;  // supplementary (SO_PEERGROUPS)
  std::string address;        // "@" for unix sockets, otherwise "192.0.2.1:40312" or "[2001:db8::1]:40312"
  std::string
      certificate_name;  // the subject of a verified TLS client certificate, one line; otherwise empty
  bool local = false;    // came through a unix socket
  bool tls = false;
};

struct Request {
  std::string method;      // as sent: "GET"
  std::string path;        // raw: not percent-decoded, up to '?'. Starts with '/', or is "*" for OPTIONS
  std::string query_text;  // raw, after '?'
  Query query;
  int minor_version = 1;  // HTTP/1.0 or HTTP/1.1
  Headers headers;
  Peer peer;
};

std::string_view reason_phrase(int status) noexcept;  // "Not Found"; "Unknown" for what has no name

}  // namespace berth::http
