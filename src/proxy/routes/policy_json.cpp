// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/policy_json.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "proxy/http1/characters.h"
#include "proxy/http1/known_fields.h"
#include "proxy/routes/paths.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

using Milliseconds = std::chrono::milliseconds;
constexpr std::uint32_t kMostWeight = 1000;
constexpr std::size_t kMostBackends = 1000, kLargestPage = 64u << 10, kMostHeaderText = 8u << 10;
constexpr std::size_t kMostUsers = 1000;

Result<Backend> read_backend(const json::value& value, const std::string& name, Endpoints& endpoints) {
  if (value.is_string()) return endpoints.backend(std::string_view(value.get_string()));
  ObjectReader in(value, name);
  std::string url;
  std::uint32_t weight = 1;
  in.read("url", url);
  in.read("weight", weight);
  TRY(in.finish());
  if (weight > kMostWeight) return fail(ErrorKind::invalid, "{}.weight is more than {}", name, kMostWeight);
  return endpoints.backend(url, weight);
}

bool is_token(std::string_view text) { return !text.empty() && all_in(kTokenCharacters, text); }
bool is_field_value(std::string_view text) { return all_in(kValueCharacters, text); }
bool is_authority(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return kHostCharacters[static_cast<unsigned char>(c)] || c == ':' || c == '[' || c == ']';
  });
}

// `true` asks for something as it is by itself, an object for something in particular.
template <class Function>
void read_wish(ObjectReader& in, std::string_view name, Function each) {
  const json::value* found = in.find(name);
  if (!found) return;
  static const json::value kNothing = json::object{};
  if (found->is_bool() && !found->get_bool()) return;
  ObjectReader wish(found->is_bool() ? kNothing : *found, in.path_of(name));
  each(wish);
  in.adopt(wish);
}

std::vector<Network> read_networks(ObjectReader& in, std::string_view name) {
  std::vector<std::string> texts;
  std::vector<Network> networks;
  in.read(name, texts);
  for (const std::string& text : texts)
    if (const Result<Network> network = parse_network(text))
      networks.push_back(*network);
    else
      in.refuse(name, fmt::format("a list of networks (10.0.0.0/8); \"{}\" is none", text));
  return networks;
}

std::optional<Milliseconds> read_time(ObjectReader& in, std::string_view name) {
  std::optional<std::uint32_t> number;
  in.read(name, number);
  if (number && (*number < 1 || *number > 86'400'000))
    in.refuse(name, "milliseconds, between 1 and 86400000");
  return number ? std::optional(Milliseconds(*number)) : std::nullopt;
}

void read_percent(ObjectReader& in, double& percent) {
  in.read("percent", percent);
  if (!(percent >= 0 && percent <= 100)) in.refuse("percent", "between 0 and 100");
}

// What frames a message, what is of one connection, and what the proxy says itself.
bool may_be_changed(std::string_view name, bool request) {
  const KnownField known = known_field(name);
  switch (known) {
    case KnownField::other:
    case KnownField::authorization:
    case KnownField::cookie:
    case KnownField::proxy_authenticate:
    case KnownField::referer:
    case KnownField::user_agent:
      return true;
    case KnownField::host:
      return request;
    default:
      return false;
  }
}

void read_lines(ObjectReader& in, std::string_view name, bool request, bool replaces,
                HeaderChanges& changes) {
  std::map<std::string, std::string> fields;
  in.read(name, fields);
  for (const auto& [field, value] : fields) {
    if (!is_token(field) || !is_field_value(value) || value != trim(value))
      return in.refuse(name, fmt::format("names and values of fields; \"{}\" and its value are none", field));
    if (!may_be_changed(field, request))
      return in.refuse(name, fmt::format("of fields that may be changed; {} is the proxy's own", field));
    if (equal_ignoring_case(field, "host") && (!replaces || !is_authority(value)))
      return in.refuse(name, fmt::format("a valid {}", field));
    if (replaces && std::ranges::find(changes.dropped, to_lower(field)) != changes.dropped.end())
      return in.refuse(name, fmt::format("of fields that are named once; {} is more than once", field));
    if (replaces) changes.dropped.push_back(to_lower(field));
    changes.lines += fmt::format("{}: {}\r\n", field, value);
  }
}

HeaderChanges read_changes(ObjectReader& in, std::string_view name, bool request) {
  HeaderChanges changes;
  in.read_object(name, [&](ObjectReader& object) {
    object.read("remove", changes.dropped);
    for (std::string& field : changes.dropped) {
      if (!is_token(field) || !may_be_changed(field, request) || equal_ignoring_case(field, "host"))
        object.refuse("remove", fmt::format("a list of fields that may go; \"{}\" may not", field));
      field = to_lower(field);
    }
    read_lines(object, "set", request, true, changes);
    read_lines(object, "add", request, false, changes);
    if (changes.lines.size() > kMostHeaderText) object.refuse("set", "shorter, all together");
  });
  return changes;
}

// crypt(3)'s, by their prefixes: no plain text is taken for a hash.
bool is_password_hash(std::string_view hash) {
  return std::ranges::any_of(std::array<std::string_view, 6>{"$5$", "$6$", "$y$", "$2a$", "$2b$", "$2y$"},
                             [&](std::string_view prefix) { return hash.starts_with(prefix); }) &&
         hash.size() > 20 && hash.size() < 256;
}

// One that takes minutes would have all others wait.
bool is_quick_enough(std::string_view hash) {
  if (hash.starts_with("$2")) {
    const auto cost = parse_integer<unsigned>(hash.substr(4, 2));
    return cost && *cost <= 14;
  }
  if (hash.starts_with("$y$")) return hash.size() > 4 && hash[4] <= 'B';
  const std::string_view rest = hash.substr(3);
  if (!rest.starts_with("rounds=")) return true;
  const auto rounds = parse_integer<std::uint32_t>(rest.substr(7, rest.find('$') - 7));
  return rounds && *rounds <= 1'000'000;
}

BasicAuthentication read_authentication(ObjectReader& in) {
  BasicAuthentication authentication;
  in.read("realm", authentication.realm);
  std::map<std::string, std::string> users;
  in.read("users", users);
  if (users.empty() || users.size() > kMostUsers) in.refuse("users", "one to 1000 names with their hashes");
  if (!is_field_value(authentication.realm) ||
      authentication.realm.find_first_of("\"\\") != std::string::npos)
    in.refuse("realm", "text without quotes");
  for (auto& [name, hash] : users) {
    if (name.empty() || name.find(':') != std::string::npos || !is_field_value(name) || name != trim(name))
      in.refuse("users", fmt::format("names without a colon; \"{}\" is none", name));
    if (!is_password_hash(hash))
      in.refuse(
          "users",
          fmt::format("hashes as crypt(3) writes them ($6$...: openssl passwd -6); {}'s is none", name));
    else if (!is_quick_enough(hash))
      in.refuse("users", fmt::format("hashes that take less to check; {}'s is too costly", name));
    authentication.users.emplace(name, std::move(hash));
  }
  return authentication;
}

RequestLimits read_limits(ObjectReader& in) {
  RequestLimits limits;
  RequestLimiter::Rate rate;
  std::string by = "client";
  in.read("requests_per_second", rate.per_second);
  rate.burst = static_cast<std::uint32_t>(std::clamp(rate.per_second, 1.0, 1e6));
  in.read("burst", rate.burst);
  in.read("by", by);
  in.read("concurrent", limits.concurrent);
  in.read("body_bytes", limits.body);
  if (by != "client" && by != "route") in.refuse("by", "client or route");
  rate.each_client = by == "client";
  if (!in.find("requests_per_second")) return limits;
  if (!(rate.per_second >= 0.001 && rate.per_second <= 1e6))
    in.refuse("requests_per_second", "between 0.001 and 1000000");
  if (rate.burst < 1 || rate.burst > 1'000'000) in.refuse("burst", "between 1 and 1000000");
  limits.rate = rate;
  return limits;
}

Maintenance read_maintenance(ObjectReader& in) {
  Maintenance maintenance;
  in.read("page", maintenance.page);
  in.read("retry_after", maintenance.retry_after);
  maintenance.except = read_networks(in, "except");
  if (maintenance.page.size() > kLargestPage) in.refuse("page", "64 KiB at most");
  return maintenance;
}

Result<void> read_canary(ObjectReader& in, Route& route, RoutePolicy& policy, Endpoints& endpoints) {
  const json::value* backends = in.find("backends");
  if (!backends) return in.refuse("backends", "a list of addresses"), Result<void>();
  read_percent(in, policy.canary_percent);
  policy.first_canary = route.backends.size();
  for (Backend& backend : TRY(read_backends(*backends, "canary.backends", endpoints)))
    route.backends.push_back(std::move(backend));
  return {};
}

Result<void> read_mirror(ObjectReader& in, const Route& route, RoutePolicy& policy, Endpoints& endpoints) {
  const json::value* backends = in.find("backends");
  if (!backends) return in.refuse("backends", "a list of addresses"), Result<void>();
  read_percent(in, policy.mirror_percent);
  auto mirror = std::make_shared<Route>();
  mirror->host = route.host;
  mirror->id = route.id;
  mirror->backends = TRY(read_backends(*backends, "mirror.backends", endpoints));
  // What the request is told to the mirror as is what it is told to the backend as.
  auto same = std::make_shared<RoutePolicy>();
  same->strips_path = policy.strips_path;
  same->authentication = policy.authentication;
  same->request_fields = policy.request_fields;
  mirror->path = route.path;
  mirror->policy = std::move(same);
  policy.mirror = std::move(mirror);
  return {};
}

// What a path does not say is as its host has it; null takes it away. A new version of the host's backends is
// none of other backends.
json::object inherited(const json::object& host, const json::object& path) {
  json::object merged = host;
  for (const std::string_view own : {"paths", "strip_path"}) merged.erase(own);
  if (path.contains("backends"))
    for (const std::string_view of_backends : {"canary", "mirror"}) merged.erase(of_backends);
  for (const json::key_value_pair& member : path) merged[member.key()] = member.value();
  return merged;
}

Result<void> read_paths(const json::object& document, const Route& route, RoutePolicy& policy,
                        Endpoints& endpoints) {
  const json::value* paths = document.if_contains("paths");
  if (!paths || paths->is_null()) return {};
  if (!paths->is_object() || !route.path.empty())
    return fail(ErrorKind::invalid, "paths must be an object of routes by path, and of a host alone");
  for (const json::key_value_pair& one : paths->get_object()) {
    const std::string path = TRY_AS("paths", checked_path(std::string_view(one.key())));
    if (!one.value().is_object()) return fail(ErrorKind::invalid, "paths.{} must be an object", path);
    policy.paths.push_back(TRY_AS(
        "paths." + path,
        route_of_path_from_json(
            route.host, path, inherited(document, one.value().get_object()), endpoints,
            one.value().get_object().contains("limits") ? Counting::by_itself : Counting::with_its_host)));
  }
  std::ranges::stable_sort(policy.paths, [](const RouteRef& left, const RouteRef& right) {
    return left->path.size() > right->path.size();
  });
  for (std::size_t at = 1; at < policy.paths.size(); ++at)
    if (std::any_of(
            policy.paths.begin(), policy.paths.begin() + static_cast<std::ptrdiff_t>(at),
            [&](const RouteRef& one) { return equal_ignoring_case(one->path, policy.paths[at]->path); }))
      return fail(ErrorKind::invalid, "paths has {} twice", policy.paths[at]->path);
  return {};
}

void read_simple(ObjectReader& in, RoutePolicy& policy) {
  in.read("strip_path", policy.strips_path);
  read_wish(in, "redirect_https", [&](ObjectReader& wish) {
    std::uint32_t port = 443;
    wish.read("port", port);
    if (port < 1 || port > 65'535) wish.refuse("port", "between 1 and 65535");
    policy.redirect = RedirectToHttps{static_cast<std::uint16_t>(port)};
  });
  read_wish(in, "maintenance", [&](ObjectReader& wish) { policy.maintenance = read_maintenance(wish); });
  policy.allowed = read_networks(in, "allow");
  policy.denied = read_networks(in, "deny");
  in.read_object("basic_auth",
                 [&](ObjectReader& object) { policy.authentication = read_authentication(object); });
  in.read_object("limits", [&](ObjectReader& object) { policy.limits = read_limits(object); });
  policy.request_fields = read_changes(in, "request_headers", true);
  policy.answer_fields = read_changes(in, "response_headers", false);
  in.read_object("retries", [&](ObjectReader& object) {
    std::optional<std::uint32_t> attempts;
    object.read("attempts", attempts);
    object.read("budget_percent", policy.retry_budget_percent);
    if (attempts && *attempts > 100) object.refuse("attempts", "100 at most");
    if (!(policy.retry_budget_percent >= 0 && policy.retry_budget_percent <= 100))
      object.refuse("budget_percent", "between 0 and 100");
    policy.retries = attempts;
  });
  in.read_object("timeouts", [&](ObjectReader& object) {
    policy.connect_timeout = read_time(object, "connect_ms");
    policy.answer_timeout = read_time(object, "answer_ms");
  });
}

// A list that is there and empty would be read as "nobody is named" by one and "everybody" by another.
Result<void> refuse_empty_lists(const json::object& document) {
  for (const std::string_view name : {"allow", "deny"})
    if (const json::value* list = document.if_contains(name);
        list && list->is_array() && list->get_array().empty())
      return fail(ErrorKind::invalid, "{} is empty: leave it out, or name a network", name);
  return {};
}

constexpr std::array<std::string_view, 14> kOfPolicy{
    "paths",  "strip_path",      "redirect_https",   "maintenance", "allow",  "deny",    "basic_auth",
    "limits", "request_headers", "response_headers", "canary",      "mirror", "retries", "timeouts"};
constexpr std::array<std::string_view, 8> kOfRoutes{"backends", "id",   "balance", "sticky",
                                                    "health",   "host", "source",  "path"};

// A misspelt guard must not be no guard.
Result<bool> asks_for_policy(const json::object& document) {
  bool asks = false;
  for (const json::key_value_pair& member : document) {
    const std::string_view name = member.key();
    if (std::ranges::find(kOfRoutes, name) != kOfRoutes.end()) continue;
    if (std::ranges::find(kOfPolicy, name) == kOfPolicy.end())
      return fail(ErrorKind::invalid, "the route has \"{}\", which means nothing here", name);
    asks = asks || !member.value().is_null();
  }
  return asks;
}

}  // namespace

Result<std::vector<Backend>> read_backends(const json::value& list, std::string_view name,
                                           Endpoints& endpoints) {
  if (!list.is_array() || list.get_array().empty())
    return fail(ErrorKind::invalid, "{} must be a list of addresses", name);
  if (list.get_array().size() > kMostBackends)
    return fail(ErrorKind::invalid, "{} has more than {} addresses", name, kMostBackends);
  std::vector<Backend> backends;
  for (const json::value& one : list.get_array())
    backends.push_back(TRY(read_backend(one, fmt::format("{}[{}]", name, backends.size()), endpoints)));
  return backends;
}

Result<void> read_policy(const json::object& document, Route& route, Endpoints& endpoints,
                         Counting counting) {
  const bool asks = TRY(asks_for_policy(document));
  if (!asks) return {};
  TRY(refuse_empty_lists(document));
  auto policy = std::make_shared<RoutePolicy>();
  const json::value whole(document);
  ObjectReader in(whole, "");
  read_simple(in, *policy);
  Result<void> done;
  in.read_object("canary",
                 [&](ObjectReader& object) { done = read_canary(object, route, *policy, endpoints); });
  if (done)
    in.read_object("mirror",
                   [&](ObjectReader& object) { done = read_mirror(object, route, *policy, endpoints); });
  TRY(in.finish());
  TRY(done);
  TRY(read_paths(document, route, *policy, endpoints));
  if (policy->limits.rate || policy->limits.concurrent > 0 || policy->retry_budget_percent > 0)
    policy->state = endpoints.state_of(route.host + (counting == Counting::by_itself ? route.path : ""),
                                       policy->limits.rate);
  policy->document = json::serialize(document);
  route.policy = std::move(policy);
  return {};
}

json::object without_secrets(json::object document) {
  json::value* guard = document.if_contains("basic_auth");
  json::value* users = guard && guard->is_object() ? guard->get_object().if_contains("users") : nullptr;
  if (users && users->is_object())
    for (json::key_value_pair& user : users->get_object()) user.value() = "***";
  json::value* paths = document.if_contains("paths");
  if (paths && paths->is_object())
    for (json::key_value_pair& path : paths->get_object())
      if (path.value().is_object()) path.value() = without_secrets(path.value().get_object());
  return document;
}

}  // namespace berth::proxy
