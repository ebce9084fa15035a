// SPDX-License-Identifier: Apache-2.0
#include "proxy/http1/head.h"

#include <cstring>
#include <string>

#include "proxy/http1/characters.h"
#include "proxy/http1/known_fields.h"

namespace berth::proxy {
namespace {

std::unexpected<Refusal> refuse(int status, std::string_view rule) {
  return std::unexpected(Refusal{status, rule});
}

#define CHECK(...)                                           \
  do {                                                       \
    if (auto checked = (__VA_ARGS__); !checked) [[unlikely]] \
      return std::unexpected(checked.error());               \
  } while (false)

std::string_view without_blanks(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes the next line, without its end. HeadSearch has seen that all of them end in CR LF.
std::string_view take_line(std::string_view& bytes) noexcept {
  const auto* end = static_cast<const char*>(std::memchr(bytes.data(), '\n', bytes.size()));
  const std::size_t length = end ? static_cast<std::size_t>(end - bytes.data()) : bytes.size();
  const std::string_view line = bytes.substr(0, length > 0 ? length - 1 : 0);
  bytes.remove_prefix(end ? length + 1 : length);
  return line;
}

// Programs behind CGI and its like read X_Real_IP as X-Real-IP: whoever may not say the one may not the
// other.
bool is_disguised(std::string_view name) {
  if (name.find('_') == std::string_view::npos) return false;
  std::string plain(name);
  for (char& c : plain)
    if (c == '_') c = '-';
  return known_field(plain) != KnownField::other;
}

Parsed<Field> parse_field(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') return refuse(400, "a folded header line");
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return refuse(400, "a header line without a colon");
  Field field{.name = line.substr(0, colon), .value = without_blanks(line.substr(colon + 1))};
  if (field.name.empty()) return refuse(400, "a header field without a name");
  if (!all_in(kTokenCharacters, field.name)) return refuse(400, "a character that no header's name has");
  if (!all_in(kValueCharacters, field.value)) return refuse(400, "a character that no header's value has");
  field.known = known_field(field.name);
  field.ends_here = field.known == KnownField::other && is_disguised(field.name);
  return field;
}

Parsed<void> parse_fields(std::string_view bytes, const HeadLimits& limits, Fields& fields) {
  fields.clear();
  while (!bytes.empty()) {
    const std::string_view line = take_line(bytes);
    if (line.empty()) break;
    if (fields.size() >= limits.fields) return refuse(431, "more header fields than are taken");
    const Parsed<Field> field = parse_field(line);
    if (!field) return std::unexpected(field.error());
    fields.push_back(*field);
  }
  return {};
}

// Calls each(token) for the elements of a list.
template <class Function>
void for_each_token(std::string_view list, Function each) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (const std::string_view token = without_blanks(list.substr(0, comma)); !token.empty()) each(token);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

// Fields that no Connection can take away: what frames the message, says whom it is for, or whom it is from.
bool stays(KnownField known) noexcept {
  switch (known) {
    case KnownField::other:
    case KnownField::keep_alive:
    case KnownField::max_forwards:
    case KnownField::proxy_connection:
    case KnownField::te:
    case KnownField::upgrade:
      return false;
    default:
      return true;
  }
}

struct ConnectionOptions {
  bool close = false, keep_alive = false, upgrade = false;
};

// RFC 9110, section 7.6.1. What is named is marked.
ConnectionOptions read_connection(Fields& fields) {
  ConnectionOptions options;
  for (std::size_t at = 0; at < fields.size(); ++at) {
    if (fields[at].known != KnownField::connection) continue;
    for_each_token(fields[at].value, [&](std::string_view token) {
      if (equal_ignoring_case(token, "close"))
        options.close = true;
      else if (equal_ignoring_case(token, "keep-alive"))
        options.keep_alive = true;
      else if (equal_ignoring_case(token, "upgrade"))
        options.upgrade = true;
      else
        for (Field& field : fields)
          if (!stays(field.known) && equal_ignoring_case(field.name, token)) field.ends_here = true;
    });
  }
  return options;
}

Parsed<std::uint64_t> parse_length(std::string_view text) {
  constexpr std::uint64_t kMost = INT64_MAX;
  if (text.empty()) return refuse(400, "an empty Content-Length");
  std::uint64_t length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return refuse(400, "a Content-Length that is not a number");
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (length > (kMost - digit) / 10) return refuse(400, "a Content-Length that no body has");
    length = length * 10 + digit;
  }
  return length;
}

// One that ends in chunks would have an end that we could find (RFC 9112, section 6.3).
std::unexpected<Refusal> refuse_coding(std::string_view list) {
  std::string_view last;
  for_each_token(list, [&](std::string_view token) { last = token; });
  const bool ends = equal_ignoring_case(last, "chunked");
  return refuse(ends ? 501 : 400,
                ends ? "a Transfer-Encoding besides chunked" : "a Transfer-Encoding without an end");
}

// What the two fields say; nothing when there is neither. Both, or one of them twice, are what requests are
// smuggled with, also where they agree.
Parsed<bool> read_framing(const Fields& fields, int minor_version, Framing& framing) {
  const Field* length = nullptr;
  const Field* coding = nullptr;
  for (const Field& field : fields) {
    if (field.known == KnownField::content_length) {
      if (length) return refuse(400, "more than one Content-Length");
      length = &field;
    } else if (field.known == KnownField::transfer_encoding) {
      if (coding) return refuse(400, "more than one Transfer-Encoding");
      coding = &field;
    }
  }
  if (length && coding) return refuse(400, "Content-Length beside Transfer-Encoding");
  if (coding) {
    if (minor_version < 1) return refuse(400, "Transfer-Encoding in HTTP/1.0");
    if (!equal_ignoring_case(coding->value, "chunked")) return refuse_coding(coding->value);
    framing = {Framing::Kind::chunked};
    return true;
  }
  if (!length) return false;
  const Parsed<std::uint64_t> bytes = parse_length(length->value);
  if (!bytes) return std::unexpected(bytes.error());
  framing = {*bytes == 0 ? Framing::Kind::none : Framing::Kind::length, *bytes};
  return true;
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

Parsed<int> parse_version(std::string_view text) {
  if (text.size() != 8 || !text.starts_with("HTTP/") || !is_digit(text[5]) || text[6] != '.' ||
      !is_digit(text[7]))
    return refuse(400, "a start line that does not end in a version of HTTP");
  if (text[5] != '1') return refuse(505, "a version of HTTP other than 1.0 and 1.1");
  return text[7] == '0' ? 0 : 1;
}

bool is_idempotent(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS" || method == "TRACE";
}

// The name or address of "host[:port]", RFC 3986 section 3.2.2 in the narrow.
Parsed<std::string_view> parse_authority(std::string_view text) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || end < 3 || !all_in(kAddressCharacters, text.substr(1, end - 1)))
      return refuse(400, "a Host that is no address");
    host = text.substr(0, end + 1);
    port = text.substr(end + 1);
    if (!port.empty() && port.front() != ':') return refuse(400, "a Host that is no address");
  } else {
    if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
      host = text.substr(0, colon);
      port = text.substr(colon);
    }
    if (host.empty() || !all_in(kHostCharacters, host)) return refuse(400, "a Host that is no name");
  }
  if (host.size() > 255) return refuse(400, "a Host that is longer than names are");
  if (port.size() > 6 || (port.size() == 6 && port.substr(1) > "65535"))
    return refuse(400, "a Host whose port is no number");
  for (const char c : port.substr(std::min<std::size_t>(1, port.size())))
    if (!is_digit(c)) return refuse(400, "a Host whose port is no number");
  return host;
}

// An absolute target's authority; the target is cut to its path.
Parsed<std::string_view> split_absolute(std::string_view& target) {
  const std::size_t scheme = target.find("://");
  const std::string_view name = target.substr(0, std::min(scheme, target.size()));
  if (scheme == std::string_view::npos ||
      !(equal_ignoring_case(name, "http") || equal_ignoring_case(name, "https")))
    return refuse(400, "a target that is neither a path nor an address");
  std::string_view rest = target.substr(scheme + 3);
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  rest.remove_prefix(end);
  if (rest.starts_with('?')) return refuse(400, "an address without a path");
  target = rest;
  return authority;
}

Parsed<void> parse_request_line(std::string_view line, const HeadLimits& limits, RequestHead& head) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return refuse(400, "a request line without blanks");
  const std::size_t last = line.find(' ', first + 1);
  if (last == std::string_view::npos) return refuse(400, "a request line without a version");
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  if (head.method.empty() || !all_in(kTokenCharacters, head.method))
    return refuse(400, "a method that is no token");
  const Parsed<int> version = parse_version(line.substr(last + 1));
  if (!version) return std::unexpected(version.error());
  head.minor_version = *version;
  if (head.target.size() > limits.target) return refuse(414, "a longer target than is taken");
  if (head.target.empty() || !all_in(kTargetCharacters, head.target) ||
      head.target.find('#') != std::string_view::npos)
    return refuse(400, "a character that no target has");
  if (head.method == "CONNECT") return refuse(405, "CONNECT, which this proxy is not for");
  head.major_version = 1;
  head.is_head = head.method == "HEAD";
  head.idempotent = is_idempotent(head.method);
  return {};
}

Parsed<void> read_host(RequestHead& head) {
  const Field* host = nullptr;
  for (const Field& field : head.fields) {
    if (field.known != KnownField::host) continue;
    if (host) return refuse(400, "more than one Host");
    host = &field;
  }
  if (!host) return refuse(400, "no Host");
  const Parsed<std::string_view> name = parse_authority(host->value);
  if (!name) return std::unexpected(name.error());
  head.host = *name;
  if (head.target.front() == '/') return {};
  if (head.target == "*")
    return head.method == "OPTIONS" ? Parsed<void>()
                                    : refuse(400, "the target * with a method other than OPTIONS");
  const Parsed<std::string_view> authority = split_absolute(head.target);
  if (!authority) return std::unexpected(authority.error());
  if (head.target.empty()) head.target = head.method == "OPTIONS" ? "*" : "/";  // RFC 9112, section 3.2.4
  if (!equal_ignoring_case(*authority, host->value)) return refuse(400, "a Host that is not the target's");
  return {};
}

Parsed<void> read_expectation(RequestHead& head) {
  head.expects_continue = false;
  if (head.minor_version < 1) return {};
  for (const Field& field : head.fields) {
    if (field.known != KnownField::expect) continue;
    if (!equal_ignoring_case(field.value, "100-continue"))
      return refuse(417, "an Expect other than 100-continue");
    head.expects_continue = head.framing.kind != Framing::Kind::none;
  }
  return {};
}

bool asks_for_websocket(const RequestHead& head, const ConnectionOptions& options) {
  const Field* upgrade = find_field(head.fields, KnownField::upgrade);
  return upgrade && options.upgrade && head.method == "GET" && head.minor_version == 1 &&
         head.framing.kind == Framing::Kind::none && equal_ignoring_case(upgrade->value, "websocket") &&
         find_field(head.fields, KnownField::sec_websocket_key);
}

Parsed<void> parse_status_line(std::string_view line, ResponseHead& head) {
  if (line.size() < 12 || line[8] != ' ') return refuse(502, "a status line without a status");
  const Parsed<int> version = parse_version(line.substr(0, 8));
  if (!version) return refuse(502, version.error().rule);
  head.minor_version = *version;
  const std::string_view digits = line.substr(9, 3);
  if (!is_digit(digits[0]) || !is_digit(digits[1]) || !is_digit(digits[2]) || digits[0] == '0')
    return refuse(502, "a status that is no number");
  head.status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  if (line.size() > 12 && line[12] != ' ') return refuse(502, "a status that is no number");
  head.reason = line.size() > 13 ? line.substr(13) : std::string_view();
  if (!all_in(kValueCharacters, head.reason)) return refuse(502, "a character that no reason has");
  return {};
}

bool has_body(int status, const RequestHead& request) noexcept {
  return status >= 200 && status != 204 && status != 304 && !request.is_head;
}

}  // namespace

bool is_of_hop(const Field& field) noexcept {
  switch (field.known) {
    case KnownField::connection:
    case KnownField::keep_alive:
    case KnownField::proxy_connection:
    case KnownField::transfer_encoding:
    case KnownField::upgrade:
      return true;
    default:
      return field.ends_here;
  }
}

Parsed<std::size_t> HeadSearch::find(std::string_view bytes, const HeadLimits& limits) {
  while (searched_ < bytes.size()) {
    const auto* found =
        static_cast<const char*>(std::memchr(bytes.data() + searched_, '\n', bytes.size() - searched_));
    if (!found) {
      searched_ = bytes.size();
      break;
    }
    const auto end = static_cast<std::size_t>(found - bytes.data());
    if (end == line_ || bytes[end - 1] != '\r')
      return refuse(400, "a line that ends without a carriage return");
    const bool empty = end == line_ + 1;
    line_ = searched_ = end + 1;
    if (line_ > limits.bytes) return refuse(431, "a longer head than is taken");
    if (empty) return line_;
  }
  if (bytes.size() >= limits.bytes) return refuse(431, "a longer head than is taken");
  return 0;
}

const Field* find_field(const Fields& fields, KnownField known) noexcept {
  for (const Field& field : fields)
    if (field.known == known) return &field;
  return nullptr;
}

Parsed<void> parse_request_head(std::string_view bytes, const HeadLimits& limits, RequestHead& head) {
  CHECK(parse_request_line(take_line(bytes), limits, head));
  CHECK(parse_fields(bytes, limits, head.fields));
  head.framing = {};
  CHECK(read_framing(head.fields, head.minor_version, head.framing));
  CHECK(read_host(head));
  CHECK(read_expectation(head));
  const ConnectionOptions options = read_connection(head.fields);
  head.keep_alive = !options.close && (head.minor_version == 1 || options.keep_alive);
  head.websocket = asks_for_websocket(head, options);
  const Field* te = find_field(head.fields, KnownField::te);
  head.takes_trailers = te && list_has(te->value, "trailers");
  return {};
}

Parsed<void> parse_response_head(std::string_view bytes, const HeadLimits& limits, const RequestHead& request,
                                 ResponseHead& head) {
  CHECK(parse_status_line(take_line(bytes), head));
  if (const Parsed<void> fields = parse_fields(bytes, limits, head.fields); !fields)
    return refuse(502, fields.error().rule);
  head.framing = {Framing::Kind::until_close};
  if (const Parsed<bool> said = read_framing(head.fields, head.minor_version, head.framing); !said)
    return refuse(502, said.error().rule);
  // A length where nothing may follow: a backend that sends it all the same would be answering the next one.
  const bool overlong = head.status == 204 && head.framing.kind == Framing::Kind::length;
  if (!has_body(head.status, request)) head.framing = {};
  const ConnectionOptions options = read_connection(head.fields);
  head.keep_alive = !options.close && (head.minor_version == 1 || options.keep_alive) &&
                    head.framing.kind != Framing::Kind::until_close && !overlong;
  const Field* upgrade = find_field(head.fields, KnownField::upgrade);
  head.websocket = head.status == 101 && options.upgrade && upgrade &&
                   equal_ignoring_case(upgrade->value, "websocket") &&
                   find_field(head.fields, KnownField::sec_websocket_accept);
  return {};
}

Parsed<void> parse_trailers(std::string_view bytes, const HeadLimits& limits, Fields& fields) {
  CHECK(parse_fields(bytes, limits, fields));
  std::erase_if(fields, [](const Field& field) {
    return field.known == KnownField::keep_alive || field.known == KnownField::proxy_connection;
  });
  for (const Field& field : fields)
    if (stays(field.known) || field.known == KnownField::te || field.known == KnownField::upgrade)
      return refuse(400, "a trailer that belongs into a head");
  return {};
}

std::string_view normal_host(std::string_view host, char* buffer, std::size_t size) noexcept {
  if (host.size() > size) return {};
  for (std::size_t at = 0; at < host.size(); ++at) buffer[at] = lower(host[at]);
  std::string_view name(buffer, host.size());
  if (name.size() > 1 && name.ends_with('.')) name.remove_suffix(1);  // the root's, which names all the same
  return name;
}

bool list_has(std::string_view list, std::string_view token) noexcept {
  bool found = false;
  for_each_token(list, [&](std::string_view one) { found = found || equal_ignoring_case(one, token); });
  return found;
}

#undef CHECK

}  // namespace berth::proxy
