// SPDX-License-Identifier: Apache-2.0
#include "cli/proxy/route_rows.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/build/clean_text.h"
#include "cli/commands/common.h"

namespace berth::cli {
namespace {

struct Sum {
  std::size_t all = 0, alive = 0;
  std::int64_t requests = 0, failures = 0, in_flight = 0;
};

Sum sum_of(const json::value& route) {
  Sum sum;
  const json::array* backends = member_of(route, "backends").if_array();
  if (!backends) return sum;
  for (const json::value& backend : *backends) {
    ++sum.all;
    sum.alive += flag_of(backend, "alive") ? 1 : 0;
    sum.requests += number_of(backend, "requests");
    sum.failures += number_of(backend, "failures");
    sum.in_flight += number_of(backend, "in_flight");
  }
  return sum;
}

std::string option_text(std::string_view name, const json::value& value) {
  if (value.is_string()) return fmt::format("{}={}", name, std::string_view(value.get_string()));
  if (value.is_number()) return fmt::format("{}={}", name, json::serialize(value));
  if (const std::string path = text_of(value, "path"); !path.empty()) return fmt::format("{}={}", name, path);
  return std::string(name);
}

bool is_off(const json::value& value) {
  if (const bool* flag = value.if_bool()) return !*flag;
  return value.is_null();
}

// Where a route comes from, as one says it.
std::string origin(std::string_view source) {
  if (source == "admin") return "the admin API";
  if (source == "file") return "the file of static routes";
  if (source == "redis") return "Redis";
  if (source == "engine") return "a container's label";
  return clean_line(source);
}

std::string backend_line(const json::value& backend) {
  return fmt::format("  {}  {}, weight {}, {} in flight, {} requests, {} failures\n",
                     clean_line(text_of(backend, "url")), flag_of(backend, "alive") ? "alive" : "dead",
                     number_of(backend, "weight"), number_of(backend, "in_flight"),
                     number_of(backend, "requests"), number_of(backend, "failures"));
}

}  // namespace

std::string options_of_route(const json::value& route) {
  const json::object* object = route.if_object();
  std::vector<std::string> options;
  if (object)
    for (const json::key_value_pair& member : *object) {
      const std::string_view name = member.key();
      if (name != "host" && name != "source" && name != "backends" && name != "id" && !is_off(member.value()))
        options.push_back(clean_line(option_text(name, member.value())));
    }
  std::ranges::sort(options);
  return join(options, ", ");
}

json::object route_row(const json::value& route) {
  const Sum sum = sum_of(route);
  return {{"Backends", fmt::format("{}/{}", sum.alive, sum.all)},
          {"Failures", std::to_string(sum.failures)},
          {"Host", clean_line(text_of(route, "host"))},
          {"ID", clean_line(text_of(route, "id"))},
          {"InFlight", std::to_string(sum.in_flight)},
          {"Options", options_of_route(route)},
          {"Requests", std::to_string(sum.requests)},
          {"Source", clean_line(text_of(route, "source"))}};
}

std::string describe_why(std::string_view url, const json::value& answer) {
  const json::value& route = member_of(answer, "route");
  const std::string because = clean_line(text_of(answer, "because"));
  if (!route.is_object())
    return fmt::format("{} goes nowhere: {}. It is answered 400.\n", clean_line(url), because);
  const Sum sum = sum_of(route);
  std::string text =
      fmt::format("{} goes by the route {}, which comes from {}: {}.\n", clean_line(url),
                  clean_line(text_of(route, "host")), origin(text_of(route, "source")), because);
  if (const std::string options = options_of_route(route); !options.empty())
    text += "It has " + options + ".\n";
  if (const json::array* conditions = member_of(answer, "conditions").if_array())
    for (const json::value& one : *conditions)
      if (one.is_string()) text += fmt::format("  {}\n", clean_line(std::string_view(one.get_string())));
  text += sum.all == 1 ? fmt::format("It has one backend, which is {}:\n", sum.alive ? "alive" : "dead")
                       : fmt::format("Of its {} backends {} {} alive:\n", sum.all, sum.alive,
                                     sum.alive == 1 ? "is" : "are");
  if (const json::array* backends = member_of(route, "backends").if_array())
    for (const json::value& backend : *backends) text += backend_line(backend);
  return text;
}

Result<json::object> backend_of_word(std::string_view word) {
  std::string_view address = word;
  std::int64_t weight = 1;
  if (const std::size_t sign = word.rfind('='); sign != std::string_view::npos) {
    const auto number = parse_integer<std::uint32_t>(word.substr(sign + 1));
    if (!number)
      return fail(ErrorKind::invalid, "\"{}\" in the backend \"{}\" is no weight, which is a number",
                  word.substr(sign + 1), word);
    weight = *number;
    address = word.substr(0, sign);
  }
  if (address.empty()) return fail(ErrorKind::invalid, "the backend \"{}\" has no address", word);
  std::string url(address);
  if (url.find("://") == std::string::npos) url = "http://" + url;
  return json::object{{"url", url}, {"weight", weight}};
}

}  // namespace berth::cli
