// SPDX-License-Identifier: Apache-2.0
#include "api/respond.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/text.h"

namespace berth::api {
namespace {

constexpr std::size_t kMaximumJsonBody = 16u << 20;
constexpr std::size_t kMostStepsOfNames = 4000;  // a name takes a millisecond or two then
constexpr std::size_t kStreamBuffer = 64 * 1024;

}  // namespace

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid:
    case ErrorKind::unsupported:
      return 400;
    case ErrorKind::not_found:
      return 404;
    case ErrorKind::conflict:
      return 409;
    case ErrorKind::denied:
      return 403;
    case ErrorKind::unauthenticated:
      return 401;
    case ErrorKind::not_modified:
      return 304;
    case ErrorKind::unavailable:
    case ErrorKind::exhausted:
    case ErrorKind::timeout:
    case ErrorKind::cancelled:
    case ErrorKind::corrupt:
    case ErrorKind::system:
      return 500;
  }
  return 500;
}

Result<void> send_json(Call& call, int status, const json::value& body) {
  return call.exchange.respond(status, {{"Content-Type", "application/json"}}, json::serialize(body) + "\n");
}

Result<void> send_empty(Call& call, int status) { return call.exchange.respond(status, {}, ""); }

void send_error(http::Exchange& exchange, int status, std::string_view message) {
  if (status == 304) {
    (void)exchange.respond(304, {}, "");
    return;
  }
  const std::string body = json::serialize(json::object{{"message", message}}) + "\n";
  (void)exchange.respond(status, {{"Content-Type", "application/json"}}, body);
}

Result<json::value> read_json(Call& call, bool optional) {
  std::string body = TRY(call.exchange.read_body_whole(kMaximumJsonBody));
  if (trim(body).empty()) {
    if (optional) return json::object();
    return fail(ErrorKind::invalid, "invalid JSON: got EOF while reading request body");
  }
  std::string_view type = call.request().headers.get_or("Content-Type", "");
  type = trim(type.substr(0, type.find(';')));
  if (!http::equal_ignoring_case(type, "application/json") && !(optional && type.empty()))
    return fail(ErrorKind::invalid, "malformed Content-Type header ({}): must be application/json", type);
  json::value document = TRY(parse_json(body, "the request's body"));
  if (!document.is_object() && !document.is_null())
    return fail(ErrorKind::invalid, "invalid JSON: the request's body must be an object");
  return document;
}

Result<Filters> read_filters(Call& call) { return parse_filters(call.parameter("filters")); }

Result<Filters> parse_filters(std::string_view text) {
  Filters filters;
  if (text.empty()) return filters;
  Result<json::value> parsed = parse_json(text, "filters");
  if (!parsed || !parsed->is_object())
    return fail(ErrorKind::invalid, "invalid filter: '{}' is not a JSON object", text);
  for (const auto& [name, value] : parsed->get_object()) {
    std::vector<std::string>& values = filters[std::string(name)];
    if (value.is_array()) {
      for (const json::value& item : value.get_array())
        if (item.is_string()) values.emplace_back(item.get_string());
    } else if (value.is_object()) {
      for (const auto& [item, chosen] : value.get_object())
        if (!chosen.is_bool() || chosen.get_bool()) values.emplace_back(item);
    } else {
      return fail(ErrorKind::invalid, "invalid filter '{}': must be a list or an object",
                  std::string_view(name));
    }
  }
  return filters;
}

Result<void> check_filter_names(const Filters& filters, std::initializer_list<std::string_view> known) {
  for (const auto& [name, values] : filters)
    if (std::find(known.begin(), known.end(), name) == known.end())
      return fail(ErrorKind::invalid, "invalid filter '{}'", name);
  return {};
}

bool labels_match(const std::map<std::string, std::string>& labels, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& text) {
    const std::size_t equals = text.find('=');
    auto found = labels.find(text.substr(0, equals));
    return found != labels.end() && (equals == std::string::npos || found->second == text.substr(equals + 1));
  });
}

Result<NameFilter> NameFilter::take_out_of(Filters& filters) {
  NameFilter filter;
  std::size_t size = 0;
  for (const std::string& wanted : filters["name"]) {
    filter.names_.push_back(wanted);
    if (wanted.find_first_of("\\.[](){}*+?^$|") == std::string::npos) {
      filter.parts_.push_back(wanted);
      continue;
    }
    Result<RegularExpression> expression = RegularExpression::compile(wanted);
    if (expression) size += expression->size();
    if (size > kMostStepsOfNames || (!expression && expression.error().kind == ErrorKind::exhausted))
      return fail(ErrorKind::invalid,
                  "invalid filter 'name': the expressions are too large, ask for fewer names at a time");
    if (expression) filter.expressions_.push_back(std::move(*expression));
  }
  filters.erase("name");
  return filter;
}

bool NameFilter::matches(std::string_view name) const {
  auto is_found = [&](const RegularExpression& expression) { return expression.found_in(name); };
  auto is_part = [&](const std::string& part) { return name.find(part) != std::string_view::npos; };
  return names_.empty() || std::find(names_.begin(), names_.end(), name) != names_.end() ||
         std::any_of(parts_.begin(), parts_.end(), is_part) ||
         std::any_of(expressions_.begin(), expressions_.end(), is_found);
}

void append_frame(std::string& out, int stream, std::string_view data) {
  const auto size = static_cast<std::uint32_t>(data.size());
  const std::array<char, 8> header{static_cast<char>(stream),
                                   0,
                                   0,
                                   0,
                                   static_cast<char>(size >> 24),
                                   static_cast<char>(size >> 16),
                                   static_cast<char>(size >> 8),
                                   static_cast<char>(size)};
  out.append(header.data(), header.size()).append(data);
}

Result<void> BodySink::flush() {
  if (!exchange_.responded()) TRY(exchange_.begin(200, std::move(headers_)));
  Result<void> written = buffered_.empty() ? Result<void>() : exchange_.write(buffered_);
  buffered_.clear();
  return written;
}

Result<void> BodySink::write(std::string_view data) {
  buffered_.append(data);
  return buffered_.size() >= kStreamBuffer ? flush() : Result<void>();
}

Result<void> BodySink::finish() {
  TRY(flush());
  return exchange_.finish();
}

Result<bool> wait_readable(const http::Exchange& exchange, std::initializer_list<int> descriptors,
                           int timeout_milliseconds) {
  std::vector<pollfd> polled{{exchange.connection_descriptor(), POLLRDHUP, 0}};
  for (int descriptor : descriptors) polled.push_back({descriptor, POLLIN, 0});
  while (poll(polled.data(), polled.size(), timeout_milliseconds) < 0)
    if (errno != EINTR) return fail_errno(errno, "poll");
  return (polled[0].revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0;
}

std::string human_duration(std::chrono::nanoseconds duration) {
  const std::int64_t seconds = duration.count() / 1'000'000'000;
  const std::int64_t minutes = seconds / 60;
  const auto hours = static_cast<std::int64_t>(static_cast<double>(duration.count()) / 3.6e12 + 0.5);
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years",
                     static_cast<std::int64_t>(static_cast<double>(duration.count()) / 3.6e12) / 24 / 365);
}

}  // namespace berth::api
