// SPDX-License-Identifier: Apache-2.0
// The one file that includes Beast: its parser runs over a head that is complete in memory.
#include "http/head.h"

#include <boost/beast/http/basic_parser.hpp>

#include "base/text.h"

namespace berth::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using BeastView = beast::string_view;

std::string_view plain(BeastView text) { return {text.data(), text.size()}; }

// Collects a head and stops there: bodies are read by BodyReader, straight into their reader's buffer.
template <bool is_request, class Head>
class HeadCollector final : public beast::http::basic_parser<is_request> {
 public:
  HeadCollector(Head& head, std::size_t most_fields) : head_(head), most_fields_(most_fields) {}
  bool too_many_fields = false;

 private:
  void on_request_impl(beast::http::verb, BeastView method, BeastView target, int version,
                       error_code&) override {
    if constexpr (is_request) {
      head_.method = plain(method);
      head_.target = plain(target);
      head_.minor_version = version % 10;
    }
  }
  void on_response_impl(int status, BeastView, int version, error_code&) override {
    if constexpr (!is_request) {
      head_.status = status;
      head_.minor_version = version % 10;
    }
  }
  void on_field_impl(beast::http::field, BeastView name, BeastView value, error_code& error) override {
    if (head_.headers.size() >= most_fields_) {
      too_many_fields = true;
      error = beast::http::error::header_limit;
      return;
    }
    head_.headers.add(plain(name), plain(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(BeastView body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, BeastView, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, BeastView body, error_code&) override { return body.size(); }
  void on_finish_impl(error_code&) override {}

  Head& head_;
  const std::size_t most_fields_;
};

// What Beast lets pass and we do not: a line continued on the next one, and one ended by a bare line feed.
// Parties that read such lines differently have been smuggled past each other.
bool has_folded_or_bare_lines(std::string_view bytes) {
  for (std::size_t at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return true;
    if (at + 1 < bytes.size() && (bytes[at + 1] == ' ' || bytes[at + 1] == '\t')) return true;
  }
  return false;
}

template <bool is_request, class Head>
Result<Head> parse_head(std::string_view bytes, std::size_t most_fields) {
  if (has_folded_or_bare_lines(bytes))
    return fail(ErrorKind::invalid, "malformed HTTP head: a folded header line or a bare line feed");
  Head head;
  HeadCollector<is_request, Head> parser(head, most_fields);
  parser.header_limit(static_cast<std::uint32_t>(bytes.size()) + 1);
  parser.body_limit(boost::none);
  parser.skip(!is_request);  // a response's framing is judged by framing_of() alone
  error_code error;
  std::size_t used = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (parser.too_many_fields)
    return fail(ErrorKind::exhausted, "an HTTP head has more than {} fields", most_fields);
  if (error) return fail(ErrorKind::invalid, "malformed HTTP head: {}", error.message());
  if (!parser.is_header_done() || used != bytes.size())
    return fail(ErrorKind::invalid, "malformed HTTP head: incomplete");
  return head;
}

bool valid_field_value(std::string_view value) {
  return value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

bool valid_field_name(std::string_view name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

std::size_t find_head_end(std::string_view bytes, std::size_t searched) noexcept {
  std::size_t at = bytes.find("\r\n\r\n", searched < 3 ? 0 : searched - 3);
  return at == std::string_view::npos ? at : at + 4;
}

Result<RequestHead> parse_request_head(std::string_view bytes, std::size_t most_fields) {
  return parse_head<true, RequestHead>(bytes, most_fields);
}

Result<ResponseHead> parse_response_head(std::string_view bytes, std::size_t most_fields) {
  return parse_head<false, ResponseHead>(bytes, most_fields);
}

Result<Framing> framing_of(const Headers& headers, int minor_version, Framing::Kind otherwise) {
  const std::size_t lengths = headers.count("Content-Length"), codings = headers.count("Transfer-Encoding");
  if (lengths > 1) return fail(ErrorKind::invalid, "more than one Content-Length");
  if (codings > 1) return fail(ErrorKind::invalid, "more than one Transfer-Encoding");
  if (lengths + codings > 1) return fail(ErrorKind::invalid, "Content-Length beside Transfer-Encoding");
  if (codings == 1) {
    if (minor_version < 1) return fail(ErrorKind::invalid, "Transfer-Encoding in HTTP/1.0");
    if (!equal_ignoring_case(headers.get_or("Transfer-Encoding", ""), "chunked"))
      return fail(ErrorKind::unsupported, "the only Transfer-Encoding understood is chunked");
    return Framing{Framing::Kind::chunked};
  }
  if (lengths == 1) {
    auto length = parse_integer<std::uint64_t>(headers.get_or("Content-Length", ""));
    if (!length || *length > INT64_MAX) return fail(ErrorKind::invalid, "Content-Length is not a length");
    return Framing{*length == 0 ? Framing::Kind::none : Framing::Kind::length, *length};
  }
  return Framing{otherwise};
}

Result<std::string> format_head(std::string_view start_line, const Headers& headers) {
  if (!valid_field_value(start_line)) return fail(ErrorKind::invalid, "a line break in an HTTP start line");
  std::string head;
  head.reserve(512);
  head.append(start_line).append("\r\n");
  for (const auto& [name, value] : headers) {
    if (!valid_field_name(name) || !valid_field_value(value))
      return fail(ErrorKind::invalid, "the HTTP header '{}' has characters that none may have", name);
    head.append(name).append(": ").append(value).append("\r\n");
  }
  head.append("\r\n");
  return head;
}

}  // namespace berth::http
