// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/admission.h"

#include <fmt/format.h>

#include "base/text.h"
#include "proxy/worker/clock.h"

namespace berth::proxy {
namespace {

bool came_by_https(const RequestHead& head, const Client& client) {
  if (client.tls || !client.trusted) return client.tls;
  const Field* protocol = find_field(head.fields, KnownField::x_forwarded_proto);
  return protocol && equal_ignoring_case(trim(split_once(protocol->value, ',').first), "https");
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

}  // namespace

AddressBytes address_behind_proxies(const RequestHead& head, const Client& client, const Settings& settings) {
  AddressBytes address = client.address_bytes;
  if (!client.trusted) return address;
  for (auto field = head.fields.rbegin(); field != head.fields.rend(); ++field) {
    if (field->known != KnownField::x_forwarded_for) continue;
    std::string_view rest = field->value;
    while (!rest.empty()) {
      const std::size_t comma = rest.rfind(',');
      const auto one = parse_address(trim(comma == std::string_view::npos ? rest : rest.substr(comma + 1)));
      if (!one) return address;  // who wrote that cannot be believed about what is before it
      address = *one;
      if (!any_contains(settings.trusted_proxies, address)) return address;
      rest = rest.substr(0, comma == std::string_view::npos ? 0 : comma);
    }
  }
  return address;
}

Verdict admit(const Route& route, const RequestHead& head, const Client& client, const Core& core) {
  const RoutePolicy& policy = *route.policy;
  const AddressBytes address = address_behind_proxies(head, client, core.settings);
  if (any_contains(policy.denied, address) ||
      (!policy.allowed.empty() && !any_contains(policy.allowed, address)))
    return {.status = 403, .lines = {}, .page = nullptr};
  if (policy.redirect && !came_by_https(head, client)) return redirect(*policy.redirect, head);
  if (policy.maintenance && !any_contains(policy.maintenance->except, address))
    return unavailable(*policy.maintenance);
  if (policy.limits.body > 0 && head.framing.length > policy.limits.body)
    return {.status = 413, .lines = {}, .page = nullptr};
  if (policy.state && policy.state->limiter)
    if (const std::int64_t early = policy.state->limiter->ask(address, microseconds()); early > 0)
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
