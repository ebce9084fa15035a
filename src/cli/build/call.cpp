// SPDX-License-Identifier: Apache-2.0
#include "cli/build/call.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/build/clean_text.h"
#include "cli/commands/common.h"
#include "cli/create/mount.h"
#include "cli/output/indent.h"
#include "cli/output/table.h"

namespace berth::cli {
namespace {

constexpr std::int64_t kAround = 2;  // lines before and after
constexpr std::string_view kRule = "--------------------\n";

const json::array& list_of(const json::value& object, std::string_view member) {
  static const json::array none;
  const json::value& list = member_of(object, member);
  return list.is_array() ? list.get_array() : none;
}

std::string clean_member(const json::value& object, std::string_view member) {
  return clean_line(text_of(object, member));
}

// Where a warning is. Lines are from 1; 0 where the document says nothing of it.
struct Place {
  std::string file;
  std::vector<std::string> lines;  // of the file
  std::int64_t first = 0, last = 0;
};

Place place_of(const json::value& document, const json::value& warning) {
  Place place;
  const json::value& location = member_of(warning, "location");
  const json::array& sources = list_of(document, "sources");
  const auto number = static_cast<std::size_t>(number_of(location, "sourceIndex"));
  if (number < sources.size()) {
    place.file = clean_member(sources[number], "fileName");
    const std::string text = from_base64(text_of(sources[number], "data")).value_or("");
    for (const std::string_view line : split(text, '\n')) place.lines.push_back(clean_line(line));
  }
  const json::array& ranges = list_of(location, "ranges");
  if (ranges.empty()) return place;
  place.first = number_of(member_of(ranges.front(), "start"), "line");
  place.last = std::max(place.first, number_of(member_of(ranges.front(), "end"), "line"));
  return place;
}

std::string excerpt(const Place& place) {
  const auto count = static_cast<std::int64_t>(place.lines.size());
  if (place.first < 1 || place.first > count) return "";
  std::string text = fmt::format("{}:{}\n{}", place.file, place.first, kRule);
  const std::int64_t last = std::min(place.last, count);
  for (std::int64_t line = std::max<std::int64_t>(place.first - kAround, 1);
       line <= std::min(last + kAround, count); ++line) {
    const bool marked = line >= place.first && line <= last;
    text += fmt::format("{:>4} | {} {}\n", line, marked ? ">>>" : "   ",
                        place.lines[static_cast<std::size_t>(line - 1)]);
  }
  return text + std::string(kRule);
}

std::string warning_text(const json::value& document, const json::value& warning) {
  std::string title = "WARNING: " + clean_member(warning, "ruleName");
  if (const std::string url = clean_member(warning, "url"); !url.empty()) title += " - " + url;
  return fmt::format("\n{}\n{}\n{}", title, clean_member(warning, "detail"),
                     excerpt(place_of(document, warning)));
}

std::string check_text(const json::value& document) {
  const json::array& warnings = list_of(document, "warnings");
  if (warnings.empty()) return "Check complete, no warnings found.\n";
  std::string text = warnings.size() == 1
                         ? "Check complete, 1 warning has been found!\n"
                         : fmt::format("Check complete, {} warnings have been found!\n", warnings.size());
  for (const json::value& warning : warnings) text += warning_text(document, warning);
  return text;
}

std::string needed_table(const json::value& document, std::string_view member, std::string_view title) {
  const json::array& all = list_of(document, member);
  if (all.empty()) return "";
  std::string table = fmt::format("{}\tREQUIRED\n", title);
  for (const json::value& one : all)
    table += fmt::format("{}\t{}\n", clean_member(one, "name"), flag_of(one, "required") ? "true" : "");
  return "\n" + align_columns(table);
}

std::string outline_text(const json::value& document) {
  const std::string name = clean_member(document, "name");
  const std::string description = clean_member(document, "description");
  std::string head = fmt::format("TARGET:\t{}\n", name.empty() ? "(default)" : name);
  if (!description.empty()) head += fmt::format("DESCRIPTION:\t{}\n", description);
  std::string text = align_columns(head, 0, 1);
  if (const json::array& arguments = list_of(document, "args"); !arguments.empty()) {
    std::string table = "BUILD ARG\tVALUE\tDESCRIPTION\n";
    for (const json::value& one : arguments)
      table += fmt::format("{}\t{}\t{}\n", clean_member(one, "name"), clean_member(one, "value"),
                           clean_member(one, "description"));
    text += "\n" + align_columns(table);
  }
  return text + needed_table(document, "secrets", "SECRET") + needed_table(document, "ssh", "SSH");
}

std::string targets_text(const json::value& document) {
  std::string table = "TARGET\tDESCRIPTION\n";
  for (const json::value& target : list_of(document, "targets"))
    table += fmt::format("{}{}\t{}\n", clean_member(target, "name"),
                         flag_of(target, "default") ? " (default)" : "", clean_member(target, "description"));
  return align_columns(table);
}

Result<void> read_field(const std::string& field, BuildCall& call) {
  const auto [key, value] = split_once(field, '=');
  if (key == "format" && (value == "json" || value == "text"))
    call.json = value == "json";
  else if (key == "ignorestatus" && (value == "true" || value == "false"))
    call.ignores_status = value == "true";
  else
    return fail(ErrorKind::invalid, "invalid --call: \"{}\" is neither format=json nor ignorestatus=true",
                field);
  return {};
}

}  // namespace

Result<BuildCall> chosen_call(const Flags& flags) {
  BuildCall call;
  const std::vector<std::string> fields = TRY_AS("invalid --call", parse_csv(flags.text("call")));
  if (!fields.empty() && !fields.front().empty()) call.name = fields.front();
  if (call.name == "lint") call.name = "check";
  if (!call.builds() && call.name != "check" && call.name != "outline" && call.name != "targets")
    return fail(ErrorKind::invalid, "invalid --call \"{}\": it must be build, check, outline or targets",
                call.name);
  for (std::size_t number = 1; number < fields.size(); ++number) TRY(read_field(fields[number], call));
  if (!flags.on("check")) return call;
  if (flags.given("call") && call.name != "check")
    return fail(ErrorKind::invalid, "--check and --call {} cannot be combined", call.name);
  call.name = "check";
  return call;
}

std::string call_text(const BuildCall& call, const json::value& document) {
  if (call.json) return indent_json(json::serialize(document), "  ") + "\n";
  if (call.name == "outline") return outline_text(document);
  return call.name == "targets" ? targets_text(document) : check_text(document);
}

int call_status(const BuildCall& call, const json::value& document) {
  return call.name == "check" && !call.ignores_status && !list_of(document, "warnings").empty() ? 1 : 0;
}

WarningEvent warnings_of(const json::value& document, bool whole) {
  const json::array& warnings = list_of(document, "warnings");
  WarningEvent event;
  if (warnings.empty()) return event;
  event.shown =
      warnings.size() == 1 ? "\n 1 warning found" : fmt::format("\n {} warnings found", warnings.size());
  event.shown += whole ? ":\n" : " (use --debug to expand):\n";
  for (const json::value& warning : warnings) {
    const Place place = place_of(document, warning);
    const std::string text = clean_member(warning, "ruleName") + ": " + clean_member(warning, "detail");
    event.shown +=
        whole ? warning_text(document, warning) : fmt::format(" - {} (line {})\n", text, place.first);
    event.list.push_back({text, place.file, place.first, place.last});
  }
  return event;
}

}  // namespace berth::cli
