// SPDX-License-Identifier: Apache-2.0
// The commands on a load balancer's routes, over its admin API: route ls, add, rm, why. No engine is asked.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/output/list_format.h"
#include "cli/proxy/admin_client.h"
#include "cli/proxy/route_rows.h"
#include "cli/template/value.h"

namespace berth::cli {
namespace {

constexpr std::string_view kDefaultProxy = "unix:///run/berth-proxy/admin.sock";
constexpr std::size_t kLargestRoute = 1u << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

Result<std::string> token_of(const Flags& flags) {
  if (!flags.given("token-file")) return environment("BERTH_PROXY_TOKEN");
  const std::string text = TRY(read_file(flags.text("token-file")));
  return std::string(trim(text));
}

Result<AdminClient> open_proxy(const Invocation& invocation) {
  std::string address = invocation.flags.text("proxy");
  if (address.empty()) address = environment("BERTH_PROXY");
  if (address.empty()) address = kDefaultProxy;
  std::string token = TRY(token_of(invocation.flags));
  return AdminClient::open(address, std::move(token));
}

// --- ls ---

constexpr Column kColumns[] = {
    {"Backends", "BACKENDS"},  {"Failures", "FAILURES"}, {"Host", "HOST"},         {"ID", "ID"},
    {"InFlight", "IN FLIGHT"}, {"Options", "OPTIONS"},   {"Requests", "REQUESTS"}, {"Source", "SOURCE"}};
constexpr ListLayout kLayout{"*route.routeContext",
                             "{{.Host}}\t{{.Source}}\t{{.Backends}}\t{{.Options}}\t{{.Requests}}", kColumns};

Result<int> list(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  const std::string text = flags.on("quiet") && !flags.given("format") ? "{{.Host}}" : flags.text("format");
  ListFormat format = TRY(ListFormat::parse(text, kLayout));
  AdminClient proxy = TRY(open_proxy(invocation));
  const json::array routes = TRY(proxy.get_list("/v1/routes"));
  std::vector<json::object> rows;
  for (const json::value& route : routes) rows.push_back(route_row(route));
  if (rows.empty())
    TRY(format.line(route_row(json::value())));  // a mistake in the format is one all the same
  const std::string out = TRY(format.render(rows));
  print_out(out);
  return 0;
}

// --- add ---

Result<std::string> read_document(const std::string& path) {
  if (path != "-") return read_file(path);
  std::string text;
  char buffer[16 << 10];
  for (ssize_t got; (got = read(STDIN_FILENO, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > kLargestRoute) return fail(ErrorKind::invalid, "the route is too large");
  }
  return text;
}

std::int64_t milliseconds(const Flags& flags, std::string_view name) {
  return flags.nanoseconds(name) / 1'000'000;
}

json::object health_of(const Flags& flags) {
  json::object health;
  if (flags.given("health-path")) health["path"] = flags.text("health-path");
  if (flags.given("health-interval")) health["interval_ms"] = milliseconds(flags, "health-interval");
  if (flags.given("health-timeout")) health["timeout_ms"] = milliseconds(flags, "health-timeout");
  return health;
}

Result<std::string> document_of(const Invocation& invocation) {
  const Flags& flags = invocation.flags;
  json::array backends;
  for (std::size_t index = 1; index < invocation.words.size(); ++index)
    backends.push_back(TRY(backend_of_word(invocation.words[index])));
  json::object document{{"backends", std::move(backends)}};
  if (flags.given("id")) document["id"] = flags.text("id");
  if (flags.given("balance")) document["balance"] = flags.text("balance");
  if (flags.on("sticky")) document["sticky"] = true;
  if (json::object health = health_of(flags); !health.empty()) document["health"] = std::move(health);
  return json::serialize(document);
}

bool describes_route(const Flags& flags) {
  for (std::string_view name :
       {"id", "balance", "sticky", "health-path", "health-interval", "health-timeout"})
    if (flags.given(name)) return true;
  return false;
}

Result<int> add(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  const std::string& host = invocation.words[0];
  const bool file = flags.given("file");
  if (file && (invocation.words.size() > 1 || describes_route(flags)))
    return fail(ErrorKind::invalid, "--file has the whole route: neither backends nor options go with it");
  if (!file && invocation.words.size() < 2)
    return fail(ErrorKind::invalid, "a route wants a backend or more, or --file");
  const std::string document =
      file ? TRY_AS("the route", read_document(flags.text("file"))) : TRY(document_of(invocation));
  AdminClient proxy = TRY(open_proxy(invocation));
  TRY(proxy.put(path_of_route(host), document));
  print_out(host + "\n");
  return 0;
}

// --- rm, why ---

Result<int> remove(Invocation& invocation) {
  AdminClient proxy = TRY(open_proxy(invocation));
  std::string failures;
  for (const std::string& host : invocation.words) {
    const Result<void> removed = proxy.remove(path_of_route(host));
    if (removed)
      print_out(host + "\n");
    else
      failures += removed.error().message + "\n";
    if (!removed && removed.error().kind != ErrorKind::not_found &&
        removed.error().kind != ErrorKind::invalid)
      break;  // nor would the others come through
  }
  print_error(failures);
  return failures.empty() ? 0 : 1;
}

Result<int> why(Invocation& invocation) {
  const std::string& url = invocation.words[0];
  const std::string format = invocation.flags.text("format");
  if (!format.empty() && format != "json")
    return fail(ErrorKind::invalid, "--format is json, or left out; not \"{}\"", format);
  AdminClient proxy = TRY(open_proxy(invocation));
  http::Query query;
  query.add("url", url);
  const json::value answer = TRY(proxy.get_object("/v1/why", query));
  print_out(format == "json" ? go_json(answer) + "\n" : describe_why(url, answer));
  return member_of(answer, "route").is_object() ? 0 : 1;
}

constexpr FlagSpec kProxy{"proxy", 0, "string",
                          "Admin API to talk to: unix:///path, http://host:port (BERTH_PROXY; otherwise "
                          "unix:///run/berth-proxy/admin.sock)"};
constexpr FlagSpec kTokenFile{"token-file", 0, "string",
                              "File with the admin API's token (otherwise BERTH_PROXY_TOKEN has it)"};
constexpr FlagSpec kListFlags[] = {
    {"format", 0, "string", "How to print: table, table TEMPLATE, json, or a Go template"},
    kProxy,
    {"quiet", 'q', "", "Only show hosts"},
    kTokenFile,
};
constexpr FlagSpec kAddFlags[] = {
    {"balance", 0, "string", "Who is next: random, round-robin, hash"},
    {"file", 'f', "string", "The whole route as JSON, from a file or - (standard input)"},
    {"health-interval", 0, "duration", "Time between two checks of a backend"},
    {"health-path", 0, "string", "Check backends by requests for this path"},
    {"health-timeout", 0, "duration", "How long a check may take"},
    {"id", 0, "string", "Name of the route in the access log"},
    kProxy,
    {"sticky", 0, "", "Bring clients back to their backend by a cookie"},
    kTokenFile,
};
constexpr FlagSpec kRemoveFlags[] = {kProxy, kTokenFile};
constexpr FlagSpec kWhyFlags[] = {
    {"format", 0, "string", "json: the answer as the API gives it"},
    kProxy,
    kTokenFile,
};
constexpr std::string_view kAddSummary =
    "Set the route of a host\n\n"
    "All of it: a route that the host had by the admin API is replaced. A backend is http://host:port or\n"
    "https://host:port, with a path in front of requests' own if need be; =WEIGHT is its share (1). What has "
    "no\n"
    "option here is said by --file: the document of PUT /v1/routes/HOST. HOST is a name, *.name for all "
    "below\n"
    "it, or * for what has no route otherwise.";
constexpr std::string_view kWhySummary =
    "Tell where a request for a URL would go, and why\n\nThe exit code is 1 if it would go nowhere.";
constexpr Command kCommands[] = {
    {"route add|route set", "[OPTIONS] HOST [BACKEND[=WEIGHT]...]", kAddSummary, kAddFlags, 1, kAnyNumber,
     add},
    {"route ls|route list", "[OPTIONS]", "List the routes of a load balancer", kListFlags, 0, 0, list},
    {"route rm|route remove", "[OPTIONS] HOST [HOST...]", "Remove routes of the admin API", kRemoveFlags, 1,
     kAnyNumber, remove},
    {"route why", "[OPTIONS] URL", kWhySummary, kWhyFlags, 1, 1, why},
};

}  // namespace

std::span<const Command> route_commands() { return kCommands; }

}  // namespace berth::cli
