// SPDX-License-Identifier: Apache-2.0
#include "cli/output/indent.h"

namespace berth::cli {

std::string indent_json(std::string_view compact, std::string_view step) {
  std::string out;
  std::size_t depth = 0;
  bool in_string = false, just_opened = false;
  auto new_line = [&] {
    out += '\n';
    for (std::size_t i = 0; i < depth; ++i) out += step;
  };
  for (std::size_t i = 0; i < compact.size(); ++i) {
    char c = compact[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < compact.size())
        out += compact[++i];
      else if (c == '"')
        in_string = false;
      continue;
    }
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') continue;
    bool closes = c == '}' || c == ']';
    if (just_opened && !closes) ++depth, new_line();
    if (closes && !just_opened && depth > 0) --depth, new_line();
    just_opened = c == '{' || c == '[';
    out += c;
    if (c == '"')
      in_string = true;
    else if (c == ',')
      new_line();
    else if (c == ':')
      out += ' ';
  }
  return out;
}

}  // namespace berth::cli
