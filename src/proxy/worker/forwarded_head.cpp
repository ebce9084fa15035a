// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/forwarded_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "proxy/http1/known_fields.h"
#include "proxy/routes/paths.h"

namespace berth::proxy {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

// X_Real_IP is to CGI, and to all that took its names from there, what X-Real-IP is: who could send both
// would be believed.
bool is_known_by_another_name(std::string_view name) {
  if (name.find('_') == std::string_view::npos) return false;
  std::string other(name);
  std::ranges::replace(other, '_', '-');
  return known_field(other) != KnownField::other;
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
    case KnownField::x_forwarded_prefix:
    case KnownField::x_forwarded_proto:
    case KnownField::x_forwarded_user:
    case KnownField::x_real_ip:
      return true;
    case KnownField::other:
      return is_of_hop(field) || is_known_by_another_name(field.name);
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

// What the route's policy says instead. A password that this proxy has asked for is for nobody else.
bool is_dropped(const RoutePolicy& policy, const Field& field) {
  return (policy.authentication && field.known == KnownField::authorization) ||
         policy.request_fields.drops(field.name);
}

// Whether it leads above where it began. Parts are taken as they are, or decoded each by itself.
bool climbs(std::string_view path, bool decode = false) {
  int depth = 0;
  for (const std::string_view written : split(path, '/')) {
    const std::string decoded = decode ? decoded_path(written) : std::string();
    std::string_view part = decode ? std::string_view(decoded) : written;
    part = part.substr(0, part.find(';'));
    if (part.empty() || part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

void append_trusted_user(std::string& out, const RequestHead& head, const Client& client, const Route& route,
                         const RequestForm& form) {
  const RoutePolicy* policy = route.policy.get();
  if (!(policy && policy->authentication)) append_trusted(out, head, client, KnownField::x_forwarded_user);
  if (!(policy && policy->strips_path)) append_trusted(out, head, client, KnownField::x_forwarded_prefix);
  if (!form.user.empty()) append_field(out, "X-Forwarded-User", form.user);
}

void append_target(std::string& out, const RequestHead& head, const Route& route, const Backend& backend) {
  std::string_view target = head.target;
  if (target.starts_with('/')) out.append(backend.prefix);
  if (route.policy && route.policy->strips_path && target.starts_with(route.path)) {
    target.remove_prefix(route.path.size());
    if (!target.starts_with('/')) out.append("/");
  }
  out.append(target);
}

void append_policy(std::string& out, const Route& route) {
  if (route.policy->strips_path && !route.path.empty()) append_field(out, "X-Forwarded-Prefix", route.path);
  out.append(route.policy->request_fields.lines);
}

}  // namespace

bool leaves_prefix(const Route& route, const Backend& backend, std::string_view target) {
  const bool strips = route.policy && route.policy->strips_path && target.starts_with(route.path);
  if (backend.prefix.empty() && !strips) return false;
  if (strips) target.remove_prefix(route.path.size());
  const std::string_view path = target.substr(0, target.find('?'));
  if (path.find("..") == std::string_view::npos && path.find('%') == std::string_view::npos) return false;
  std::string other = decoded_path(path);
  std::ranges::replace(other, '\\', '/');
  return climbs(path) || climbs(path, true) || climbs(other);
}

Fields passed_trailers(const Fields& trailers, const Route& route) {
  Fields passed;
  for (const Field& field : trailers)
    if (!is_own_in_request(field) && !(route.policy && is_dropped(*route.policy, field)))
      passed.push_back(field);
  return passed;
}

void append_request_head(std::string& out, const RequestHead& head, const Client& client, const Route& route,
                         const Backend& backend, const RequestForm& form) {
  const RoutePolicy* policy = route.policy.get();
  out.append(head.method).append(" ");
  append_target(out, head, route, backend);
  out.append(" HTTP/1.1\r\n");
  for (const Field& field : head.fields)
    if (field.known == KnownField::max_forwards)
      append_max_forwards(out, head, field);
    else if (!is_own_in_request(field) && !(policy && is_dropped(*policy, field)))
      append_field(out, field.name, field.value);
  if (head.framing.kind == Framing::Kind::chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (head.websocket)
    out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  else if (!form.keep_alive)
    out.append("Connection: close\r\n");
  append_forwarding(out, head, client);
  append_trusted_user(out, head, client, route, form);
  if (policy) append_policy(out, route);
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
