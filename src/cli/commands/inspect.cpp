// SPDX-License-Identifier: Apache-2.0
// inspect, container inspect, image inspect, and the same for networks and volumes.
#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/output/indent.h"
#include "cli/output/list_format.h"
#include "cli/template/template.h"
#include "cli/template/value.h"

namespace berth::cli {
namespace {

constexpr int kTemplateExit = 64;  // of a template that cannot be parsed

struct Kind {
  std::string_view name;
  std::string_view path;
  std::string_view action;
};
constexpr Kind kContainer{"container", "/containers/", "/json"};
constexpr Kind kImage{"image", "/images/", "/json"};
constexpr Kind kNetwork{"network", "/networks/", ""};
constexpr Kind kVolume{"volume", "/volumes/", ""};
constexpr Kind kAnything[] = {kContainer, kImage, kNetwork, kVolume};

Result<std::string> fetch(Engine& engine, const Kind& kind, const std::string& name, const Flags& flags) {
  http::Query query;
  if (kind.name == "container" && flags.has("size") && flags.on("size")) query.add("size", "1");
  if (kind.name == "network" && flags.has("verbose") && flags.on("verbose")) query.add("verbose", "true");
  if (flags.has("platform") && flags.given("platform")) query.add("platform", flags.text("platform"));
  return engine.get_text(fmt::format("{}{}{}", kind.path, segment(name), kind.action), query);
}

// The first kind that has something of that name.
Result<std::string> fetch_any(Engine& engine, std::span<const Kind> kinds, const std::string& name,
                              const Flags& flags) {
  for (const Kind& kind : kinds) {
    Result<std::string> found = fetch(engine, kind, name, flags);
    if (found || kinds.size() == 1) return found;
    bool absent = found.error().kind == ErrorKind::not_found ||
                  found.error().kind == ErrorKind::unavailable ||
                  found.error().message.find("This node is not a swarm manager") != std::string::npos ||
                  (found.error().kind == ErrorKind::invalid && kind.name != "container");
    if (!absent) return found;
  }
  return fail(ErrorKind::not_found, "Error: No such object: {}", name);
}

// Members that are maps of the user's own names: a name that is not in one is no mistake.
bool is_map(std::string_view owner) {
  static constexpr std::string_view maps[] = {
      "Labels",     "Ports",      "Networks",     "Options",      "Sysctls",    "Annotations",
      "Volumes",    "Tmpfs",      "ExposedPorts", "PortBindings", "StorageOpt", "Data",
      "DriverOpts", "Containers", "Status",       "DriverStatus", "Attributes", "Annotation"};
  return std::ranges::find(maps, owner) != std::end(maps);
}

// Members that the engine leaves out or sends as null where Docker's own types have a zero.
std::shared_ptr<const json::value> zero_of(std::string_view name) {
  static constexpr std::string_view pointers[] = {
      "Health",      "Healthcheck", "Init",   "PidsLimit",  "MemorySwappiness", "OomKillDisable",
      "StopTimeout", "IPAMConfig",  "SizeRw", "SizeRootFs", "ConfigFrom"};
  static constexpr std::string_view texts[] = {"StopSignal", "Variant", "OsVersion", "MacAddress",
                                               "Author",     "Comment", "Runtime"};
  static constexpr std::string_view lists[] = {"Mounts",
                                               "Shell",
                                               "Binds",
                                               "Env",
                                               "Cmd",
                                               "Entrypoint",
                                               "OnBuild",
                                               "RepoTags",
                                               "RepoDigests",
                                               "CapAdd",
                                               "CapDrop",
                                               "ExtraHosts",
                                               "GroupAdd",
                                               "Links",
                                               "SecurityOpt",
                                               "VolumesFrom",
                                               "ExecIDs",
                                               "DeviceCgroupRules",
                                               "DeviceRequests",
                                               "Devices",
                                               "Ulimits",
                                               "Dns",
                                               "DnsOptions",
                                               "DnsSearch",
                                               "Aliases",
                                               "DNSNames",
                                               "MaskedPaths",
                                               "ReadonlyPaths",
                                               "Config",
                                               "SecondaryIPAddresses",
                                               "SecondaryIPv6Addresses"};
  auto in = [&](auto& names) { return std::ranges::find(names, name) != std::end(names); };
  if (in(pointers)) return std::make_shared<const json::value>(nullptr);
  if (in(texts)) return std::make_shared<const json::value>("");
  if (is_map(name)) return std::make_shared<const json::value>(json::object());
  if (in(lists)) return std::make_shared<const json::value>(json::array());
  if (name == "NetworkDisabled" || name == "ArgsEscaped") return std::make_shared<const json::value>(false);
  return nullptr;
}

MissingMember missing_member(const json::value& object, std::string_view owner, std::string_view name,
                             bool found) {
  bool map =
      is_map(owner) || (owner == "Config" && object.is_object() && object.get_object().size() > 0 &&
                        !object.get_object().contains("Image") && !object.get_object().contains("Cmd"));
  if (map)
    return found ? MissingMember{MissingMember::Outcome::replace,
                                 {},
                                 std::make_shared<const json::value>(json::array())}
                 : MissingMember{};
  if (auto zero = zero_of(name)) return {MissingMember::Outcome::replace, {}, zero};
  if (found) return {};
  // {{.ID}}, {{.NanoCPUs}}: Docker's types spell some names in another case than its documents.
  for (const auto& member : object.get_object())
    if (to_lower(member.key()) == to_lower(name))
      return {MissingMember::Outcome::replace, {}, std::make_shared<const json::value>(member.value())};
  return {MissingMember::Outcome::error, fmt::format("map has no entry for key {}", go_quote(name)), {}};
}

Result<std::string> render(const std::vector<std::string>& documents, const Template& format) {
  TemplateOptions options;
  options.missing = missing_member;
  std::string out;
  for (const std::string& text : documents) {
    json::value document = TRY(parse_json(text, "the engine's answer"));
    Result<std::string> line = format.execute(document, options);
    if (!line) return fail(ErrorKind::invalid, "template parsing error: {}", line.error().message);
    out += *line + "\n";
  }
  return out;
}

std::string as_list(const std::vector<std::string>& documents, bool indented) {
  std::string all = "[";
  for (const std::string& text : documents) all.append(all.size() > 1 ? "," : "").append(trim(text));
  all += "]";
  return (indented ? indent_json(all) : all) + "\n";
}

Result<int> inspect_kinds(Invocation& invocation, std::span<const Kind> kinds) {
  const Flags& flags = invocation.flags;
  std::string text = flags.text("format");
  std::optional<Template> format;
  if (!text.empty() && text != "json") {
    Result<Template> parsed = Template::parse(unescape_format(text));
    if (!parsed) {
      print_error("template parsing error: " + parsed.error().message + "\n");
      return kTemplateExit;
    }
    format = std::move(*parsed);
  }
  Engine* engine = TRY(invocation.context.engine());
  std::vector<std::string> documents;
  std::string failures;
  for (const std::string& name : invocation.words) {
    Result<std::string> found = fetch_any(*engine, kinds, name, flags);
    if (found)
      documents.push_back(std::move(*found));
    else
      failures += found.error().message + "\n";
  }
  if (format) {
    Result<std::string> out = render(documents, *format);
    if (!out) {
      print_out("\n");
      return std::unexpected(std::move(out).error());
    }
    print_out(documents.empty() ? "\n" : *out);
  } else {
    print_out(as_list(documents, text.empty()));
  }
  print_error(failures);
  return failures.empty() ? 0 : 1;
}

Result<int> inspect(Invocation& invocation) {
  std::string type = invocation.flags.text("type");
  if (type.empty()) return inspect_kinds(invocation, kAnything);
  for (const Kind& kind : kAnything)
    if (kind.name == type) return inspect_kinds(invocation, {&kind, 1});
  return fail(ErrorKind::invalid,
              "unknown type: \"{}\": must be one of \"container\", \"image\", \"network\", \"volume\"", type);
}

Result<int> inspect_container(Invocation& invocation) { return inspect_kinds(invocation, {&kContainer, 1}); }
Result<int> inspect_image(Invocation& invocation) { return inspect_kinds(invocation, {&kImage, 1}); }
Result<int> inspect_network(Invocation& invocation) { return inspect_kinds(invocation, {&kNetwork, 1}); }
Result<int> inspect_volume(Invocation& invocation) { return inspect_kinds(invocation, {&kVolume, 1}); }

constexpr FlagSpec kFormatFlag{"format", 'f', "string", "How to print: json, or a Go template"};
constexpr FlagSpec kSizeFlag{"size", 's', "", "Show how much a container takes on disk"};
constexpr FlagSpec kInspectFlags[] = {
    kFormatFlag, kSizeFlag, {"type", 0, "string", "Only things of this kind"}};
constexpr FlagSpec kContainerFlags[] = {kFormatFlag, kSizeFlag};
constexpr FlagSpec kImageFlags[] = {kFormatFlag,
                                    {"platform", 0, "string", "Of this platform (os[/arch[/variant]])"}};
constexpr FlagSpec kOtherFlags[] = {kFormatFlag};
constexpr FlagSpec kNetworkFlags[] = {
    kFormatFlag, {"verbose", 'v', "", "Ask the engine for more, as for a swarm's networks"}};

constexpr Command kCommands[] = {
    {"inspect", "[OPTIONS] NAME|ID [NAME|ID...]",
     "Show everything about containers, images, networks and volumes", kInspectFlags, 1, kAnyNumber, inspect},
    {"container inspect", "[OPTIONS] CONTAINER [CONTAINER...]", "Show everything about containers",
     kContainerFlags, 1, kAnyNumber, inspect_container},
    {"image inspect", "[OPTIONS] IMAGE [IMAGE...]", "Show everything about images", kImageFlags, 1,
     kAnyNumber, inspect_image},
    {"network inspect", "[OPTIONS] NETWORK [NETWORK...]", "Show everything about networks", kNetworkFlags, 1,
     kAnyNumber, inspect_network},
    {"volume inspect", "[OPTIONS] VOLUME [VOLUME...]", "Show everything about volumes", kOtherFlags, 1,
     kAnyNumber, inspect_volume},
};

}  // namespace

std::span<const Command> inspect_commands() { return kCommands; }

}  // namespace berth::cli
