// SPDX-License-Identifier: Apache-2.0
// The parsed form of a template. Internal to this folder.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cli/template/value.h"

namespace berth::cli {

// One word of a command: a literal, a field chain, a variable, a function's name, a parenthesised pipeline.
struct TemplateOperand {
  enum class Kind { literal, dot, field, variable, function, pipeline } kind = Kind::literal;
  std::size_t position = 0;
  std::string text;                 // as written: what errors show
  Value literal;                    // literal
  std::string name;                 // variable (with its $) or function
  std::vector<std::string> fields;  // .A.B after a dot, variable or parenthesis
  std::shared_ptr<struct TemplatePipeline> pipeline;
};

using TemplateCommand = std::vector<TemplateOperand>;

struct TemplatePipeline {
  std::size_t position = 0;
  std::string text;                    // as written, without blanks at the ends
  std::vector<std::string> variables;  // assigned to, with their $: none, one, or two in a range
  bool declares = false;               // := rather than =
  std::vector<TemplateCommand> commands;
};

struct TemplateNode {
  enum class Kind { text, action, branch_if, branch_with, loop, break_loop, continue_loop } kind = Kind::text;
  std::string text;
  TemplatePipeline pipeline;
  std::vector<TemplateNode> body;
  std::vector<TemplateNode> otherwise;
};

Result<std::vector<TemplateNode>> parse_template(std::string_view text, std::string_view name);

}  // namespace berth::cli
