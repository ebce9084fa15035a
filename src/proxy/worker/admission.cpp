// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/admission.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "proxy/worker/clock.h"

namespace berth::proxy {
namespace {

bool came_by_https(const RequestHead& head, const Client& client) {
  if (client.tls || !client.trusted) return client.tls;
  const Field* protocol = find_field(head.fields, KnownField::x_forwarded_proto);
  if (!protocol) return false;
  const std::size_t comma = protocol->value.rfind(',');  // the last is who is trusted
  return equal_ignoring_case(trim(protocol->value.substr(comma == std::string_view::npos ? 0 : comma + 1)),
                             "https");
}

// 308, for the method and its body to stay what they are.
Verdict redirect(const RedirectToHttps& https, const RequestHead& head) {
  const std::string port = https.port == 443 ? "" : fmt::format(":{}", https.port);
  return {.status = 308,
          .lines = fmt::format("Location: https://{}{}{}\r\n", head.host, port,
                               head.target.starts_with('/') ? head.target : "/"),
          .page = nullptr};
}

Verdict unavailable(const Maintenance& maintenance) {
  return {
      .status = 503,
      .lines = maintenance.retry_after > 0 ? fmt::format("Retry-After: {}\r\n", maintenance.retry_after) : "",
      .page = maintenance.page.empty() ? nullptr : &maintenance.page};
}

// "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]:4711".
std::optional<AddressBytes> parse_node(std::string_view text) {
  if (text.starts_with('[')) return parse_address(text.substr(1, text.find(']') - 1));
  if (std::ranges::count(text, ':') == 1) text = text.substr(0, text.find(':'));
  return parse_address(text);
}

bool may_ask(const RoutePolicy& policy, const std::optional<AddressBytes>& address) {
  if (!address) return policy.denied.empty() && policy.allowed.empty();
  return !any_contains(policy.denied, *address) &&
         (policy.allowed.empty() || any_contains(policy.allowed, *address));
}

}  // namespace

std::optional<AddressBytes> address_behind_proxies(const RequestHead& head, const Client& client,
                                                   const Settings& settings) {
  AddressBytes address = client.address_bytes;
  if (!client.trusted) return address;
  for (auto field = head.fields.rbegin(); field != head.fields.rend(); ++field) {
    if (field->known != KnownField::x_forwarded_for) continue;
    std::string_view rest = field->value;
    while (!rest.empty()) {
      const std::size_t comma = rest.rfind(',');
      const std::string_view one = trim(comma == std::string_view::npos ? rest : rest.substr(comma + 1));
      rest = rest.substr(0, comma == std::string_view::npos ? 0 : comma);
      if (one.empty()) continue;
      const std::optional<AddressBytes> parsed = parse_node(one);
      if (!parsed) return std::nullopt;
      address = *parsed;
      if (!any_contains(settings.trusted_proxies, address)) return address;
    }
  }
  return address;
}

Verdict admit(const Route& route, const RequestHead& head, const Client& client, const Core& core) {
  const RoutePolicy& policy = *route.policy;
  const std::optional<AddressBytes> address = address_behind_proxies(head, client, core.settings);
  if (!may_ask(policy, address)) return {.status = 403, .lines = {}, .page = nullptr};
  if (policy.redirect && !came_by_https(head, client)) return redirect(*policy.redirect, head);
  if (policy.maintenance && !(address && any_contains(policy.maintenance->except, *address)))
    return unavailable(*policy.maintenance);
  if (policy.limits.body > 0 && head.framing.length > policy.limits.body)
    return {.status = 413, .lines = {}, .page = nullptr};
  if (policy.state && policy.state->limiter)
    if (const std::int64_t early =
            policy.state->limiter->ask(address.value_or(client.address_bytes), microseconds());
        early > 0)
      return {.status = 429,
              .lines = fmt::format("Retry-After: {}\r\n", (early + 999'999) / 1'000'000),
              .page = nullptr};
  return {};
}

std::optional<Credentials> credentials_of(const RequestHead& head) {
  const Field* field = find_field(head.fields, KnownField::authorization);
  if (!field) return std::nullopt;
  const auto [scheme, encoded] = split_once(field->value, ' ');
  if (!equal_ignoring_case(scheme, "basic")) return std::nullopt;
  const std::optional<std::string> text = from_base64(trim(encoded));
  if (!text || text->find(':') == std::string::npos || text->find('\0') != std::string::npos)
    return std::nullopt;
  const auto [user, password] = split_once(*text, ':');
  return Credentials{std::string(user), std::string(password)};
}

Verdict ask_for_password(const BasicAuthentication& authentication) {
  return {.status = 401,
          .lines = fmt::format("WWW-Authenticate: Basic realm=\"{}\", charset=\"UTF-8\"\r\n",
                               authentication.realm),
          .page = nullptr};
}

}  // namespace berth::proxy
