// SPDX-License-Identifier: Apache-2.0
// An expression, a newline, a text. Whatever comes, both compiling and looking end soon, and looking for the
// expression in a group finds the same.
#include <cstdlib>
#include <string>

#include "base/regular_expression.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  if (line == std::string_view::npos || size > 2000) return 0;
  const std::string_view expression = input.substr(0, line), text = input.substr(line + 1);
  berth::Result<berth::RegularExpression> one = berth::RegularExpression::compile(expression);
  if (!one) return 0;
  const bool found = one->found_in(text);
  berth::Result<berth::RegularExpression> group =
      berth::RegularExpression::compile("(?:" + std::string(expression) + ")");
  if (group && group->found_in(text) != found) std::abort();
  return 0;
}
