// SPDX-License-Identifier: Apache-2.0
#include "cli/output/list_format.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/output/table.h"
#include "cli/template/value.h"

namespace berth::cli {

std::string unescape_format(std::string_view format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    char following = i + 1 < format.size() ? format[i + 1] : '\0';
    if (format[i] == '\\' && (following == 't' || following == 'n')) {
      out += following == 't' ? '\t' : '\n';
      ++i;
    } else {
      out += format[i];
    }
  }
  return out;
}

Result<ListFormat> ListFormat::parse(std::string_view format, const ListLayout& layout) {
  ListFormat made;
  made.layout_ = &layout;
  std::string text;
  if (format.empty() || format == "table") {
    made.table_ = true;
    text = layout.standard;
  } else if (format.starts_with("table")) {
    made.table_ = true;
    text = unescape_format(trim(format.substr(5)));
  } else {
    text = format == "json" ? "{{json .}}" : unescape_format(trim(format));
  }
  Result<Template> parsed = Template::parse(text);
  if (!parsed) return fail(ErrorKind::invalid, "failed to parse template: {}", parsed.error().message);
  made.template_ = std::move(*parsed);
  return made;
}

Result<std::string> ListFormat::header() const {
  if (!table_) return std::string();
  json::object headers;
  for (const Column& column : layout_->columns) headers[column.field] = column.header;
  TemplateOptions options;
  options.functions_pass = true;
  std::string made;
  options.method = [&](std::string_view, const std::vector<std::string>& arguments) {
    std::string_view last = arguments.empty() ? std::string_view{} : arguments[0];
    if (std::size_t dot = last.rfind('.'); dot != last.npos) last.remove_prefix(dot + 1);
    made = last;
    for (char& c : made)
      if (c == '-' || c == '_') c = ' ';
    return &made;
  };
  std::string text = TRY(template_.execute(json::value(headers), options));
  return text + "\n";
}

Result<std::string> ListFormat::line(const json::object& row, const Method& method) const {
  TemplateOptions options;
  options.missing = [&](const json::value&, std::string_view owner, std::string_view name, bool found) {
    if (found)
      return MissingMember{MissingMember::Outcome::replace, {}, std::make_shared<const json::value>(nullptr)};
    if (!owner.empty()) return MissingMember{};
    return MissingMember{MissingMember::Outcome::error,
                         fmt::format("can't evaluate field {} in type {}", name, layout_->type),
                         {}};
  };
  if (method)
    options.method = [&](std::string_view name, const std::vector<std::string>& arguments) {
      return method(row, name, arguments);
    };
  Result<std::string> text = template_.execute(json::value(row), options);
  if (!text) return fail(ErrorKind::invalid, "failed to execute template: {}", text.error().message);
  return *text + "\n";
}

Result<std::string> ListFormat::render(std::span<const json::object> rows, const Method& method) const {
  std::string text;
  for (const json::object& row : rows) text += TRY(line(row, method));
  if (!table_) return text;
  std::string with_header = TRY(header());
  return align_columns(with_header + text);
}

void print_out(std::string_view text) {
  Result<void> written = write_all(STDOUT_FILENO, text);
  if (written) return;
  if (written.error().code != EPIPE) print_error("berth: " + written.error().message + "\n");
  ::_exit(1);
}

void print_error(std::string_view text) { (void)write_all(STDERR_FILENO, text); }

}  // namespace berth::cli
