// SPDX-License-Identifier: Apache-2.0
// --format of the commands that list things: "table", "table TEMPLATE", "json" or "TEMPLATE", over rows of
// named strings.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/template/template.h"

namespace boost::json {
class object;
}

namespace berth::cli {

struct Column {
  std::string_view field;
  std::string_view header;
};

struct ListLayout {
  std::string_view type;            // as errors name a row: "*formatter.ContainerContext"
  std::string_view standard;        // the template of "table", its columns separated by tabs
  std::span<const Column> columns;  // the header of each field
};

class ListFormat {
 public:
  // An empty format is "table".
  static Result<ListFormat> parse(std::string_view format, const ListLayout& layout);

  bool mentions(std::string_view field) const { return template_.mentions(field); }
  bool table() const { return table_; }

  // What a method such as {{.Label "name"}} gives for a row.
  using Method = std::function<const std::string*(const boost::json::object& row, std::string_view name,
                                                  const std::vector<std::string>& arguments)>;

  Result<std::string> header() const;  // a line with its newline; empty unless this is a table
  Result<std::string> line(const boost::json::object& row, const Method& method = {}) const;
  // Header and lines, aligned.
  Result<std::string> render(std::span<const boost::json::object> rows, const Method& method = {}) const;

 private:
  Template template_;
  bool table_ = false;
  const ListLayout* layout_ = nullptr;
};

// "\t" and "\n" as two characters become what they mean.
std::string unescape_format(std::string_view format);

// A whole answer on standard output. A reader that went away ends the program quietly, here.
void print_out(std::string_view text);
void print_error(std::string_view text);

}  // namespace berth::cli
