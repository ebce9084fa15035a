// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/endpoint.h"

#include <arpa/inet.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "proxy/routes/name_lookups.h"
#include "proxy/routes/policy.h"

namespace berth::proxy {
namespace {

constexpr int kMostQuickLookups = 30;
constexpr int kSlowLookups = 10;  // after those, one in so many rounds

struct Scheme {
  std::string_view start;
  bool tls;
  Protocol protocol;
};
constexpr Scheme kSchemes[] = {
    {"http://", false, Protocol::http1}, {"https://", true, Protocol::http1},
    {"h2c://", false, Protocol::http2},  {"h2://", true, Protocol::http2},
    {"grpc://", false, Protocol::http2}, {"grpcs://", true, Protocol::http2},
};

struct Parts {
  bool tls = false;
  Protocol protocol = Protocol::http1;
  std::string host;
  std::uint16_t port = 0;
  std::string prefix;
};

Result<Parts> parse_url(std::string_view url) {
  auto wrong = [&](std::string_view why) {
    return fail(ErrorKind::invalid, "the backend \"{}\" {}; http://host:port is wanted", url, why);
  };
  Parts parts;
  std::string_view rest = url;
  const auto* scheme =
      std::ranges::find_if(kSchemes, [&](const Scheme& one) { return rest.starts_with(one.start); });
  if (scheme == std::end(kSchemes)) return wrong("is no address of http, https, h2c, h2, grpc or grpcs");
  parts.tls = scheme->tls;
  parts.protocol = scheme->protocol;
  rest.remove_prefix(scheme->start.size());
  if (rest.find_first_of("?#@ \t\r\n") != std::string_view::npos)
    return wrong("has more than an address and a path");
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  parts.prefix = rest.substr(slash);
  while (parts.prefix.ends_with('/')) parts.prefix.pop_back();
  std::string_view authority = rest.substr(0, slash), port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return wrong("has an open bracket");
    parts.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    if (!port.empty() && port.front() != ':') return wrong("has something between address and port");
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    parts.host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  if (parts.host.empty()) return wrong("has no host");
  parts.port = parts.tls ? 443 : 80;
  if (!port.empty()) {
    const auto number = parse_integer<std::uint16_t>(port.substr(1));
    if (!number || *number == 0) return wrong("has no valid port");
    parts.port = *number;
  }
  return parts;
}

}  // namespace

std::int64_t clock_milliseconds() noexcept {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

Endpoint::Address Endpoint::address() const {
  const std::shared_ptr<const Addresses> all = addresses_.load();
  return all && !all->empty() ? (*all)[chosen.load(std::memory_order_relaxed) % all->size()] : Address();
}

void Endpoint::set_addresses(Addresses found) {
  const std::shared_ptr<const Addresses> had = addresses_.load();
  const auto same = [](const Address& left, const Address& right) {
    return left.length == right.length && std::memcmp(&left.address, &right.address, left.length) == 0;
  };
  // The resolver gives them in another order each time.
  const auto is_among = [&](const Address& one) {
    return std::ranges::any_of(*had, [&](const Address& other) { return same(one, other); });
  };
  if (had && had->size() == found.size() && std::ranges::all_of(found, is_among)) return;
  addresses_.store(std::make_shared<const Addresses>(std::move(found)));
  moves.fetch_add(1);
}

Endpoints::Endpoints() : lookups_(std::make_unique<NameLookups>()) {}

Endpoints::~Endpoints() = default;

Result<Backend> Endpoints::backend(std::string_view url, std::uint32_t weight) {
  Parts parts = TRY(parse_url(url));
  return Backend{.endpoint = TRY(find_or_make(parts.host, parts.port, parts.tls, parts.protocol)),
                 .url = std::string(url),
                 .prefix = std::move(parts.prefix),
                 .weight = weight};
}

Result<std::shared_ptr<Endpoint>> Endpoints::find_or_make(const std::string& host, std::uint16_t port,
                                                          bool tls, Protocol protocol) {
  const bool bracketed = host.find(':') != std::string::npos;
  const std::string authority =
      fmt::format("{}{}{}:{}", bracketed ? "[" : "", host, bracketed ? "]" : "", port);
  const std::string key =
      fmt::format("{}{} {}", tls ? 's' : 'p', protocol == Protocol::http2 ? '2' : '1', authority);
  {
    std::lock_guard lock(mutex_);
    if (auto found = known_.find(key); found != known_.end())
      if (std::shared_ptr<Endpoint> endpoint = found->second.lock()) return endpoint;
  }
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->authority = authority;
  endpoint->tls = tls;
  endpoint->protocol = protocol;
  const bool named = !parse_address(host);
  if (named)
    lookups_->find(endpoint, host, port);
  else
    endpoint->set_addresses(TRY(look_up(host, port)));  // at once: nobody is asked about an address
  std::lock_guard lock(mutex_);
  std::weak_ptr<Endpoint>& known = known_[key];
  if (std::shared_ptr<Endpoint> other = known.lock()) return other;
  known = endpoint;
  if (named) named_.push_back({endpoint, host, port});
  if (known_.size() + states_.size() >= drop_at_) drop_unused();
  return endpoint;
}

void Endpoints::wait_for_name(const Endpoint& endpoint, std::chrono::steady_clock::time_point until) {
  lookups_->wait_for(endpoint, until);
}

void Endpoints::look_up_again(Names which, const std::stop_token& stop) {
  std::vector<Named> named;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(named_, [](const Named& one) { return one.endpoint.expired(); });
    named = named_;
  }
  for (const Named& one : named) {
    if (stop.stop_requested()) return;
    const std::shared_ptr<Endpoint> endpoint = one.endpoint.lock();
    if (!endpoint || endpoint->sought.load() || endpoint->has_address() != (which == Names::known)) continue;
    const int failed = one.failures->load();
    if (which == Names::unknown && failed > kMostQuickLookups && failed % kSlowLookups != 0) {
      one.failures->store(failed + 1);
      continue;
    }
    Result<Endpoint::Addresses> found = look_up(one.host, one.port);
    one.failures->store(found ? 0 : failed + 1);
    if (found) endpoint->set_addresses(std::move(*found));
  }
}

std::shared_ptr<RouteState> Endpoints::state_of(const std::string& key,
                                                const std::optional<RequestLimiter::Rate>& rate) {
  const RequestLimiter::Rate wanted = rate.value_or(RequestLimiter::Rate{});
  const std::string name =
      fmt::format("{} {} {} {}", key, wanted.per_second, wanted.burst, wanted.each_client);
  std::lock_guard lock(mutex_);
  std::weak_ptr<RouteState>& known = states_[name];
  if (std::shared_ptr<RouteState> state = known.lock()) return state;
  auto state = std::make_shared<RouteState>();
  if (rate) state->limiter = std::make_unique<RequestLimiter>(*rate);
  known = state;
  if (known_.size() + states_.size() >= drop_at_) drop_unused();
  return state;
}

void Endpoints::drop_unused() {
  std::erase_if(states_, [](const auto& one) { return one.second.expired(); });
  std::erase_if(known_, [](const auto& one) { return one.second.expired(); });
  drop_at_ = std::max<std::size_t>(1024, (known_.size() + states_.size()) * 2);
}

}  // namespace berth::proxy
