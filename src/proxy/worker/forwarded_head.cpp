// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/forwarded_head.h"

#include <fmt/format.h>

#include <iterator>

#include "base/text.h"

namespace berth::proxy {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

// What this proxy writes itself, or what ends at it.
bool is_own_in_request(const Field& field) noexcept {
  switch (field.known) {
    case KnownField::forwarded:
    case KnownField::proxy_authorization:
    case KnownField::te:
    case KnownField::x_forwarded_for:
    case KnownField::x_forwarded_host:
    case KnownField::x_forwarded_port:
    case KnownField::x_forwarded_proto:
    case KnownField::x_real_ip:
      return true;
    default:
      return is_of_hop(field);
  }
}

// What never has a body must not say how long it is (RFC 9110, section 8.6).
bool is_bodiless(int status) noexcept { return status < 200 || status == 204; }

// RFC 9110, section 7.6.2. The head was parsed: nothing but digits counts.
void append_max_forwards(std::string& out, const RequestHead& head, const Field& field) {
  const auto left = parse_integer<std::uint32_t>(field.value);
  if (!left || *left == 0 || !head.counts_hops()) return append_field(out, field.name, field.value);
  fmt::format_to(std::back_inserter(out), "{}: {}\r\n", field.name, *left - 1);
}

void append_all(std::string& out, const Fields& fields, KnownField known) {
  for (const Field& field : fields)
    if (field.known == known) append_field(out, field.name, field.value);
}

bool append_trusted(std::string& out, const RequestHead& head, const Client& client, KnownField known) {
  if (!client.trusted || !find_field(head.fields, known)) return false;
  append_all(out, head.fields, known);
  return true;
}

void append_forwarding(std::string& out, const RequestHead& head, const Client& client) {
  out.append("X-Forwarded-For: ");
  if (client.trusted)
    for (const Field& field : head.fields)
      if (field.known == KnownField::x_forwarded_for && !field.value.empty())
        out.append(field.value).append(", ");
  out.append(client.address).append("\r\n");
  if (!append_trusted(out, head, client, KnownField::x_forwarded_proto))
    append_field(out, "X-Forwarded-Proto", client.tls ? "https" : "http");
  if (!append_trusted(out, head, client, KnownField::x_forwarded_port))
    fmt::format_to(std::back_inserter(out), "X-Forwarded-Port: {}\r\n", client.port);
  if (!append_trusted(out, head, client, KnownField::x_real_ip))
    append_field(out, "X-Real-IP", client.address);
  append_trusted(out, head, client, KnownField::x_forwarded_host);
  append_trusted(out, head, client, KnownField::forwarded);
}

}  // namespace

void append_request_head(std::string& out, const RequestHead& head, const Client& client,
                         const Backend& backend, bool keep_alive) {
  out.append(head.method).append(" ");
  if (head.target.front() == '/') out.append(backend.prefix);
  out.append(head.target).append(" HTTP/1.1\r\n");
  for (const Field& field : head.fields)
    if (field.known == KnownField::max_forwards)
      append_max_forwards(out, head, field);
    else if (!is_own_in_request(field))
      append_field(out, field.name, field.value);
  if (head.framing.kind == Framing::Kind::chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (head.websocket)
    out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  else if (!keep_alive)
    out.append("Connection: close\r\n");
  append_forwarding(out, head, client);
  out.append("\r\n");
}

void append_answer_head(std::string& out, const AnswerHead& head, const AnswerForm& form) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} ", head.status);
  out.append(head.reason).append("\r\n");
  for (const Field& field : *head.fields)
    if (!is_of_hop(field) && !(is_bodiless(head.status) && field.known == KnownField::content_length))
      append_field(out, field.name, field.value);
  out.append(head.extra_lines);
  if (form.framing == Framing::Kind::chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (head.status == 101)
    out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  else if (!form.keep_alive)
    out.append("Connection: close\r\n");
  else if (form.minor_version == 0)
    out.append("Connection: keep-alive\r\n");
  out.append("\r\n");
}

}  // namespace berth::proxy
