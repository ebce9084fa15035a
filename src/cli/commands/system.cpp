// SPDX-License-Identifier: Apache-2.0
// The engine as a whole: version, info, system df, system prune, system check.
#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/disk_usage.h"
#include "cli/commands/info.h"
#include "cli/output/list_format.h"
#include "cli/template/template.h"
#include "cli/template/value.h"
#include "cli/version.h"

namespace berth::cli {
namespace {

json::object client_version(std::string_view api) {
  return {{"Version", kVersion}, {"ApiVersion", api}, {"DefaultAPIVersion", kApiVersion},
          {"GitCommit", kBuild}, {"Os", "linux"},     {"Arch", kArchitecture},
          {"Context", "default"}};
}

std::string version_block(const json::value& client, const json::value& server) {
  std::string out = "Client:\n";
  auto line = [&](std::string_view name, const std::string& value) {
    out += fmt::format(" {:<18} {}\n", std::string(name) + ":", value);
  };
  line("Version", text_of(client, "Version"));
  std::string api = text_of(client, "ApiVersion"), standard = text_of(client, "DefaultAPIVersion");
  line("API version", api == standard ? api : api + " (downgraded from " + standard + ")");
  line("Git commit", text_of(client, "GitCommit"));
  line("OS/Arch", text_of(client, "Os") + "/" + text_of(client, "Arch"));
  line("Context", "default");
  if (server.is_null()) return out;
  std::string platform = text_of(member_of(server, "Platform"), "Name");
  out += platform.empty() ? "\nServer:\n" : fmt::format("\nServer: {}\n", platform);
  auto detail = [&](std::string_view name, const std::string& value) {
    out += fmt::format("  {:<17} {}\n", std::string(name) + ":", value);
  };
  const json::array* components = member_of(server, "Components").if_array();
  if (!components) return out;
  for (const json::value& component : *components) {
    const json::value& details = member_of(component, "Details");
    out += fmt::format(" {}:\n", text_of(component, "Name"));
    detail("Version", text_of(component, "Version"));
    if (text_of(component, "Name") == "Engine") {
      detail("API version", fmt::format("{} (minimum version {})", text_of(details, "ApiVersion"),
                                        text_of(details, "MinAPIVersion")));
      if (!text_of(details, "GoVersion").empty()) detail("Go version", text_of(details, "GoVersion"));
      detail("Git commit", text_of(details, "GitCommit"));
      detail("Built", text_of(details, "BuildTime"));
      detail("OS/Arch", text_of(details, "Os") + "/" + text_of(details, "Arch"));
      detail("Experimental", text_of(details, "Experimental"));
    } else {
      detail("GitCommit", text_of(details, "GitCommit"));
    }
  }
  return out;
}

// The whole document through a template, or as JSON. A member that is not there is an error.
Result<int> print_document(const std::string& text, std::string_view name, std::string_view type,
                           const json::value& document) {
  if (text == "json") {
    print_out(go_json(document) + "\n");
    return 0;
  }
  Result<Template> format = Template::parse(unescape_format(text), name);
  if (!format) {
    print_error("template parsing error: " + format.error().message + "\n");
    return 64;
  }
  TemplateOptions options;
  options.missing = [&](const json::value& object, std::string_view owner, std::string_view member,
                        bool found) {
    if (found)
      return MissingMember{
          MissingMember::Outcome::replace, {}, std::make_shared<const json::value>(json::array())};
    for (const auto& candidate : object.get_object())
      if (to_lower(candidate.key()) == to_lower(member))  // APIVersion, OS: the names of Docker's types
        return MissingMember{
            MissingMember::Outcome::replace, {}, std::make_shared<const json::value>(candidate.value())};
    if (owner == "Details") return MissingMember{};
    return MissingMember{
        MissingMember::Outcome::error, fmt::format("can't evaluate field {} in type {}", member, type), {}};
  };
  Result<std::string> out = format->execute(document, options);
  if (!out) {
    print_out("\n");
    return std::unexpected(std::move(out).error());
  }
  print_out(*out + "\n");
  return 0;
}

Result<int> version(Invocation& invocation) {
  Result<Engine*> engine = invocation.context.engine();
  json::value server;
  Result<void> reached;
  if (engine) {
    Result<json::value> answer = (*engine)->get_json("/version");
    if (answer)
      server = std::move(*answer);
    else
      reached = std::unexpected(std::move(answer).error());
  } else {
    reached = std::unexpected(std::move(engine).error());
  }
  json::value client = client_version(engine ? std::string_view((*engine)->version()) : kApiVersion);
  std::string format = invocation.flags.text("format");
  if (format.empty())
    print_out(version_block(client, server));
  else
    TRY(print_document(format, "version", "system.versionInfo",
                       json::object{{"Client", client}, {"Server", server}}));
  if (!reached) return std::unexpected(std::move(reached).error());
  return 0;
}

Result<int> info(Invocation& invocation) {
  Result<Engine*> engine = invocation.context.engine();
  json::value server = json::object();
  Result<void> reached;
  if (engine) {
    Result<json::value> answer = (*engine)->get_json("/info");
    if (answer)
      server = std::move(*answer);
    else
      reached = std::unexpected(std::move(answer).error());
  } else {
    reached = std::unexpected(std::move(engine).error());
  }
  json::object client = client_version(engine ? std::string_view((*engine)->version()) : kApiVersion);
  client["Debug"] = invocation.context.options().debug;
  client["Plugins"] = json::array();
  client["Warnings"] = nullptr;
  std::string format = invocation.flags.text("format");
  if (!format.empty()) {
    if (server.is_object()) server.get_object()["ClientInfo"] = client;
    int code = TRY(print_document(format, "", "system.dockerInfo", server));
    if (code != 0) return code;
  } else {
    print_out(client_block(client) + (reached ? server_block(server) : "\nServer:\n"));
    if (reached) print_error(info_warnings(server));
  }
  if (!reached) {
    if (format.empty())
      return fail(reached.error().kind, "ERROR: {}\nerrors pretty printing info", reached.error().message);
    return std::unexpected(std::move(reached).error());
  }
  return 0;
}

struct PruneStep {
  std::string_view path;
  std::string_view member;
  std::string_view title;
  std::vector<std::string> filters;
  bool all = false;
};

std::string prune_question(bool all, bool volumes) {
  std::string out =
      "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one "
      "container\n";
  if (volumes) out += "  - all anonymous volumes not used by at least one container\n";
  out += all ? "  - all images without at least one container associated to them\n"
             : "  - all dangling images\n";
  out += all ? "  - all build cache\n" : "  - unused build cache\n";
  return out + "\nAre you sure you want to continue?";
}

Result<int> prune(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  bool all = flags.on("all"), volumes = flags.on("volumes");
  for (const std::string& filter : flags.list("filter"))
    if (volumes && filter.starts_with("until="))
      return fail(ErrorKind::invalid, "ERROR: The \"until\" filter is not supported with \"--volumes\"");
  if (!flags.on("force") && !confirm(prune_question(all, volumes))) return 0;
  std::vector<PruneStep> steps{{"/containers/prune", "ContainersDeleted", "Deleted Containers", {}},
                               {"/networks/prune", "NetworksDeleted", "Deleted Networks", {}}};
  if (volumes) steps.push_back({"/volumes/prune", "VolumesDeleted", "Deleted Volumes", {}});
  steps.push_back(
      {"/images/prune", "ImagesDeleted", "Deleted Images", {all ? "dangling=false" : "dangling=true"}});
  // What is cached has no labels.
  const std::vector<std::string> filters = flags.list("filter");
  if (std::ranges::all_of(filters, [](const std::string& one) { return one.starts_with("until="); }))
    steps.push_back({"/build/prune", "CachesDeleted", "Deleted build cache objects", {}, all});
  Engine* engine = TRY(invocation.context.engine());
  std::int64_t reclaimed = 0;
  std::string out;
  for (PruneStep& step : steps) {
    for (const std::string& filter : flags.list("filter")) step.filters.push_back(filter);
    http::Query query;
    if (!step.filters.empty()) query.add("filters", encode_filters(step.filters));
    if (step.all) query.add("all", "1");
    Result<http::Response> response = engine->call("POST", step.path, query);
    bool unknown = !response && (response.error().kind == ErrorKind::not_found ||
                                 response.error().kind == ErrorKind::unsupported);
    if (unknown) continue;  // an engine without networks or volumes
    if (!response) return std::unexpected(std::move(response).error());
    json::value answer = TRY(read_json(*response, "the engine's answer"));
    out += deleted_list(answer, step.member, step.title);
    reclaimed += number_of(answer, "SpaceReclaimed");
  }
  print_pruned(out, reclaimed);
  return 0;
}

Result<int> check(Invocation& invocation) {
  Engine* engine = TRY(invocation.context.engine());
  http::Query query;
  if (invocation.flags.on("repair")) query.add("repair", "1");
  http::Response response = TRY(engine->call("POST", "/berth/system/check", query));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  const json::array* findings = member_of(answer, "Findings").if_array();
  std::string out;
  if (findings)
    for (const json::value& finding : *findings)
      out += text_of(finding, "Subject") + ": " + text_of(finding, "Problem") + "\n";
  if (const json::object* checked = member_of(answer, "Checked").if_object()) {
    std::string counts;
    for (const auto& entry : *checked)
      counts +=
          fmt::format("{}{} {}", counts.empty() ? "" : ", ", go_text(entry.value()), to_lower(entry.key()));
    out += fmt::format("Checked {}\n", counts);
  }
  print_out(out);
  return findings && !findings->empty() ? 1 : 0;
}

constexpr FlagSpec kCheckFlags[] = {
    {"repair", 0, "", "Take out what is damaged and a registry can give again"},
};
constexpr FlagSpec kFormatFlags[] = {{"format", 'f', "string", "How to print: json, or a Go template"}};
constexpr FlagSpec kDiskFlags[] = {
    {"format", 0, "string", "How to print: table, table TEMPLATE, json, or a Go template"},
    {"verbose", 'v', "", "Each thing on a line of its own"},
};
constexpr FlagSpec kPruneFlags[] = {
    {"all", 'a', "", "All images that no container uses, not only those without names"},
    {"filter", 0, "filter", "Which ones (until=, label=)"},
    {"force", 'f', "", "Do not ask"},
    {"volumes", 0, "", "Anonymous volumes too"},
};
constexpr Command kCommands[] = {
    {"version", "[OPTIONS]", "Show the versions of this program and of the engine", kFormatFlags, 0, 0,
     version},
    {"system info|info", "[OPTIONS]", "Show what the engine is and has", kFormatFlags, 0, 0, info},
    {"system df", "[OPTIONS]", "Show what the engine keeps on disk", kDiskFlags, 0, 0, disk_usage},
    {"system prune", "[OPTIONS]", "Remove what is not used", kPruneFlags, 0, 0, prune},
    {"system check", "[OPTIONS]", "Check what the engine keeps, and print what is wrong with it", kCheckFlags,
     0, 0, check},
};

}  // namespace

std::span<const Command> system_commands() { return kCommands; }

}  // namespace berth::cli
