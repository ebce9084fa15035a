// SPDX-License-Identifier: Apache-2.0
// Commands that show what containers are doing: top, diff, events, and the state of one thing.
#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/stats.h"
#include "cli/output/list_format.h"
#include "cli/output/table.h"
#include "cli/output/units.h"

namespace berth::cli {
namespace {

std::string container_path(const std::string& name, std::string_view action) {
  return fmt::format("/containers/{}/{}", segment(name), action);
}

std::string row_of(const json::value& cells) {
  std::string row;
  if (const json::array* list = cells.if_array())
    for (const json::value& cell : *list)
      row.append(row.empty() && &cell == list->data() ? "" : "\t")
          .append(cell.is_string() ? std::string(cell.get_string()) : "");
  return row + "\n";
}

Result<int> top(Invocation& invocation) {
  http::Query query;
  std::vector<std::string> options(invocation.words.begin() + 1, invocation.words.end());
  if (!options.empty()) query.add("ps_args", join(options, " "));
  Engine* engine = TRY(invocation.context.engine());
  json::value processes = TRY(engine->get_json(container_path(invocation.words[0], "top"), query));
  std::string text = row_of(member_of(processes, "Titles"));
  if (const json::array* list = member_of(processes, "Processes").if_array())
    for (const json::value& process : *list) text += row_of(process);
  print_out(align_columns(text, 20, 3));
  return 0;
}

constexpr Column kDiffColumns[] = {{"Path", "PATH"}, {"Type", "CHANGE TYPE"}};
constexpr ListLayout kDiff{"*formatter.diffContext", "{{.Type}}\t{{.Path}}", kDiffColumns};

Result<int> diff(Invocation& invocation) {
  Engine* engine = TRY(invocation.context.engine());
  if (invocation.words[0].empty()) return fail(ErrorKind::invalid, "Container name cannot be empty");
  json::value changes = TRY(engine->get_json(container_path(invocation.words[0], "changes")));
  std::string format = invocation.flags.text("format");
  ListFormat layout = TRY(ListFormat::parse(format.empty() ? "{{.Type}} {{.Path}}" : format, kDiff));
  std::vector<json::object> rows;
  constexpr std::string_view letters[] = {"C", "A", "D"};
  if (const json::array* list = changes.if_array())
    for (const json::value& change : *list) {
      auto kind = static_cast<std::size_t>(std::clamp<std::int64_t>(number_of(change, "Kind"), 0, 2));
      rows.push_back({{"Path", text_of(change, "Path")}, {"Type", letters[kind]}});
    }
  std::string out = TRY(layout.render(rows));
  print_out(out);
  return 0;
}

std::string event_line(const json::value& event) {
  const json::value& actor = member_of(event, "Actor");
  std::int64_t nanoseconds = number_of(event, "timeNano");
  if (nanoseconds == 0) nanoseconds = number_of(event, "time") * 1'000'000'000;
  std::string line = fmt::format("{} {} {} {}", local_rfc3339({nanoseconds}, true), text_of(event, "Type"),
                                 text_of(event, "Action"), text_of(actor, "ID"));
  std::vector<std::string> attributes;
  if (const json::object* all = member_of(actor, "Attributes").if_object())
    for (const auto& attribute : *all)
      attributes.push_back(
          std::string(attribute.key()) + "=" +
          (attribute.value().is_string() ? std::string(attribute.value().get_string()) : ""));
  std::ranges::sort(attributes);
  if (!attributes.empty()) line += " (" + join(attributes, ", ") + ")";
  return line + "\n";
}

// With the names that templates know.
json::object event_row(const json::value& event) {
  return {{"Action", text_of(event, "Action")}, {"Actor", member_of(event, "Actor")},
          {"From", text_of(event, "from")},     {"ID", text_of(event, "id")},
          {"Scope", text_of(event, "scope")},   {"Status", text_of(event, "status")},
          {"Time", number_of(event, "time")},   {"TimeNano", number_of(event, "timeNano")},
          {"Type", text_of(event, "Type")}};
}

Result<int> events(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  std::string text = flags.text("format");
  std::string whole(trim(text));
  bool raw = whole == "json" || whole == "{{json .}}" || whole == "{{ json . }}";
  constexpr static ListLayout layout{"*events.Message", "", {}};
  ListFormat format = TRY(ListFormat::parse(raw || text.empty() ? "-" : text, layout));
  http::Query query;
  for (std::string_view bound : {"since", "until"}) {
    if (!flags.given(bound)) continue;
    std::string time = TRY(timestamp_argument(flags.text(bound)));
    query.add(bound, time);
  }
  if (std::string filters = encode_filters(flags.list("filter")); !filters.empty())
    query.add("filters", filters);
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->call("GET", "/events", query));
  auto show = [&](const json::value& event) -> Result<bool> {
    if (text.empty()) {
      print_out(event_line(event));
    } else if (raw) {
      print_out(json::serialize(event) + "\n");
    } else {
      json::object row = event_row(event);
      std::string line = TRY(format.line(row));
      print_out(line);
    }
    return true;
  };
  TRY(read_json_lines(response, show));
  return 0;
}

constexpr std::string_view kFormatHelp = "How to print: table, table TEMPLATE, json, or a Go template";
constexpr FlagSpec kDiffFlags[] = {{"format", 0, "string", kFormatHelp, "", nullptr, "", true}};
constexpr FlagSpec kEventsFlags[] = {
    {"filter", 'f', "filter", "Which ones (type=, event=, container=, ...)"},
    {"format", 0, "string", "How to print: json, or a Go template"},
    {"since", 0, "string", "From this time on"},
    {"until", 0, "string", "Up to this time, then end"},
};
constexpr FlagSpec kStatsFlags[] = {
    {"all", 'a', "", "Show stopped containers too"},
    {"format", 0, "string", kFormatHelp},
    {"no-stream", 0, "", "Show the first measurement and end"},
    {"no-trunc", 0, "", "Do not shorten"},
};
constexpr Command kCommands[] = {
    {"container top|top",
     "CONTAINER [ps OPTIONS]",
     "Show the processes of a container",
     {},
     1,
     kAnyNumber,
     top,
     false},
    {"container diff|diff", "CONTAINER", "Show what a container changed in its file system", kDiffFlags, 1, 1,
     diff},
    {"container stats|stats", "[OPTIONS] [CONTAINER...]", "Show what containers use, live", kStatsFlags, 0,
     kAnyNumber, stats},
    {"system events|events", "[OPTIONS]", "Show what happens in the engine, live", kEventsFlags, 0, 0,
     events},
};

}  // namespace

std::span<const Command> status_commands() { return kCommands; }

}  // namespace berth::cli
