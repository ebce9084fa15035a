// SPDX-License-Identifier: Apache-2.0
#include "cli/template/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "cli/template/functions.h"
#include "cli/template/node.h"

namespace berth::cli {
namespace {

enum class Flow { on, break_loop, continue_loop };

class Execution {
 public:
  Execution(std::string_view name, std::string_view text, const TemplateOptions& options,
            const json::value& root)
      : name_(name), text_(text), options_(options), root_(&root) {
    variables_.emplace_back("$", Value::borrow(root));
  }

  Result<Flow> run(const std::vector<TemplateNode>& nodes, const Value& dot) {
    for (const TemplateNode& node : nodes) {
      Flow flow = TRY(run_one(node, dot));
      if (flow != Flow::on) return flow;
    }
    return Flow::on;
  }

  std::string output;

 private:
  using Kind = TemplateNode::Kind;

  Result<Flow> run_one(const TemplateNode& node, const Value& dot) {
    std::size_t scope = variables_.size();
    Flow flow = Flow::on;
    switch (node.kind) {
      case Kind::text:
        output += node.text;
        return flow;
      case Kind::break_loop:
        return Flow::break_loop;
      case Kind::continue_loop:
        return Flow::continue_loop;
      case Kind::action: {
        Value value = TRY(evaluate(node.pipeline, dot));
        if (node.pipeline.variables.empty()) print(value);
        return flow;  // a variable declared here lives on to the end of the block
      }
      case Kind::branch_if:
      case Kind::branch_with: {
        Value value = TRY(evaluate(node.pipeline, dot));
        if (truth(value))
          flow = TRY(run(node.body, node.kind == Kind::branch_with ? value : dot));
        else
          flow = TRY(run(node.otherwise, dot));
        break;
      }
      case Kind::loop:
        flow = TRY(loop(node, dot));
        break;
    }
    variables_.resize(scope);
    return flow;
  }

  Result<Flow> loop(const TemplateNode& node, const Value& dot) {
    Value over = TRY(evaluate_commands(node.pipeline, dot));
    std::vector<std::pair<Value, Value>> items;
    if (over.present() && over.get().is_array()) {
      std::int64_t position = 0;
      for (const json::value& item : over.get().get_array())
        items.emplace_back(Value::own(position++), over.part(item));
    } else if (over.present() && over.get().is_object()) {
      for (const auto& member : over.get().get_object())
        items.emplace_back(Value::own(json::value(member.key())), over.part(member.value(), member.key()));
      std::ranges::sort(items, {},
                        [](const auto& item) { return std::string_view(item.first.get().get_string()); });
    } else if (over.present() && over.get().is_int64()) {
      if (over.get().get_int64() > 1'000'000)
        return error_at(node.pipeline.position, node.pipeline.text, "range is too long");
      for (std::int64_t i = 0; i < over.get().get_int64(); ++i)
        items.emplace_back(Value::own(i), Value::own(i));
    } else if (over.present() && !over.get().is_null()) {
      return error_at(node.pipeline.position, node.pipeline.text,
                      fmt::format("range can't iterate over {}", go_text(over.get())));
    }
    if (items.empty()) return run(node.otherwise, dot);
    std::size_t scope = variables_.size();
    const auto& names = node.pipeline.variables;
    for (const auto& [key, item] : items) {
      variables_.resize(scope);
      if (names.size() == 1) bind(names[0], item, node.pipeline.declares);
      if (names.size() == 2)
        bind(names[0], key, node.pipeline.declares), bind(names[1], item, node.pipeline.declares);
      Flow flow = TRY(run(node.body, item));
      if (flow == Flow::break_loop) break;
    }
    return Flow::on;
  }

  void bind(const std::string& name, Value value, bool declares) {
    if (!declares)
      for (auto& [known, bound] : std::views::reverse(variables_))
        if (known == name) {
          bound = std::move(value);
          return;
        }
    variables_.emplace_back(name, std::move(value));
  }

  void print(const Value& value) {
    if (!value.present())
      output += "<no value>";
    else
      output += go_text(value.get());
  }

  Result<Value> evaluate(const TemplatePipeline& pipeline, const Value& dot) {
    Value value = TRY(evaluate_commands(pipeline, dot));
    for (const std::string& name : pipeline.variables) bind(name, value, pipeline.declares);
    return value;
  }

  Result<Value> evaluate_commands(const TemplatePipeline& pipeline, const Value& dot) {
    Value value;
    const Value* piped = nullptr;
    for (const TemplateCommand& command : pipeline.commands) {
      Value next = TRY(evaluate_command(command, dot, piped));
      value = std::move(next);
      piped = &value;
    }
    return value;
  }

  Result<Value> evaluate_command(const TemplateCommand& command, const Value& dot, const Value* piped) {
    const TemplateOperand& first = command[0];
    if (first.kind == TemplateOperand::Kind::function) return call(command, dot, piped);
    if (const std::string* made = TRY(call_method(command, dot, piped)))
      return Value::own(json::value(*made));
    if (command.size() > 1 || piped) {
      bool field = first.kind == TemplateOperand::Kind::field || !first.fields.empty();
      if (field)
        return error_at(first.position, first.text,
                        fmt::format("{} is not a method but has arguments", first.fields.back()));
      return error_at(first.position, first.text,
                      fmt::format("can't give argument to non-function {}", first.text));
    }
    return evaluate_operand(first, dot);
  }

  Result<const std::string*> call_method(const TemplateCommand& command, const Value& dot,
                                         const Value* piped) {
    const TemplateOperand& first = command[0];
    if (first.kind != TemplateOperand::Kind::field || first.fields.size() != 1 || !options_.method ||
        !dot.present() || &dot.get() != root_ || (command.size() == 1 && !piped))
      return nullptr;
    std::vector<std::string> arguments;
    for (std::size_t i = 1; i < command.size(); ++i) {
      Value value = TRY(evaluate_operand(command[i], dot));
      arguments.push_back(value.present() ? go_text(value.get()) : "");
    }
    if (piped && piped->present()) arguments.push_back(go_text(piped->get()));
    return options_.method(first.fields[0], arguments);
  }

  Result<Value> call(const TemplateCommand& command, const Value& dot, const Value* piped) {
    const TemplateOperand& function = command[0];
    if (function.name == "and" || function.name == "or") return choose(command, dot, piped);
    std::vector<Value> arguments;
    for (std::size_t i = 1; i < command.size(); ++i) {
      Value value = TRY(evaluate_operand(command[i], dot));
      arguments.push_back(std::move(value));
    }
    if (piped) arguments.push_back(*piped);
    if (options_.functions_pass && function.name.find("print") == std::string::npos && !arguments.empty())
      return arguments[0];
    Result<Value> result = call_template_function(function.name, arguments);
    if (result) return result;
    return error_at(function.position, command_text(command),
                    fmt::format("error calling {}: {}", function.name, result.error().message));
  }

  // and, or: the first argument that decides, the rest unevaluated.
  Result<Value> choose(const TemplateCommand& command, const Value& dot, const Value* piped) {
    bool wanted = command[0].name == "or";
    Value value;
    std::size_t count = command.size() - 1 + (piped ? 1 : 0);
    if (count == 0)
      return error_at(command[0].position, command[0].text,
                      fmt::format("wrong number of args for {}: want at least 1 got 0", command[0].name));
    for (std::size_t i = 0; i < count; ++i) {
      if (i + 1 < command.size())
        value = TRY(evaluate_operand(command[i + 1], dot));
      else
        value = *piped;
      if (truth(value) == wanted) break;
    }
    return value;
  }

  Result<Value> evaluate_operand(const TemplateOperand& operand, const Value& dot) {
    Value value;
    switch (operand.kind) {
      case TemplateOperand::Kind::literal:
        return operand.literal;
      case TemplateOperand::Kind::dot:
        return dot;
      case TemplateOperand::Kind::field:
        value = dot;
        break;
      case TemplateOperand::Kind::function: {
        TemplateCommand alone{operand};
        return call(alone, dot, nullptr);
      }
      case TemplateOperand::Kind::variable: {
        auto found = std::ranges::find_if(std::views::reverse(variables_), [&](const auto& variable) {
          return variable.first == operand.name;
        });
        if (found == std::views::reverse(variables_).end())
          return error_at(operand.position, operand.text,
                          fmt::format("undefined variable: {}", operand.name));
        value = found->second;
        break;
      }
      case TemplateOperand::Kind::pipeline:
        value = TRY(evaluate(*operand.pipeline, dot));
        break;
    }
    for (const std::string& field : operand.fields) value = TRY(member(value, field, operand));
    return value;
  }

  Result<Value> member(const Value& owner, const std::string& field, const TemplateOperand& operand) {
    if (!owner.present() || owner.get().is_null()) {
      if (!options_.missing) return Value{};
      return error_at(operand.position, operand.text,
                      fmt::format("nil data; no entry for key {}", go_quote(field)));
    }
    const json::object* object = owner.get().if_object();
    if (!object)
      return error_at(operand.position, operand.text,
                      fmt::format("can't evaluate field {} in type {}", field, go_type_name(owner)));
    auto found = object->find(field);
    bool there = found != object->end();
    if (there && !found->value().is_null()) return owner.part(found->value(), field);
    if (!options_.missing) return there ? owner.part(found->value(), field) : Value{};
    MissingMember missing = options_.missing(owner.get(), owner.name(), field, there);
    switch (missing.outcome) {
      case MissingMember::Outcome::absent:
        return Value{};
      case MissingMember::Outcome::replace:
        return Value::share(missing.replacement, field);
      case MissingMember::Outcome::error:
        break;
    }
    return error_at(operand.position, operand.text, missing.message);
  }

  static std::string command_text(const TemplateCommand& command) {
    std::string text;
    for (const TemplateOperand& operand : command) text.append(text.empty() ? "" : " ").append(operand.text);
    return text;
  }

  std::unexpected<Error> error_at(std::size_t position, std::string_view node,
                                  std::string_view message) const {
    std::string_view before = std::string_view(text_).substr(0, position);
    std::size_t line = 1 + static_cast<std::size_t>(std::ranges::count(before, '\n'));
    std::size_t newline = before.rfind('\n');
    std::size_t column = newline == before.npos ? position : position - newline - 1;
    std::string shown(node);
    if (shown.size() > 20) shown = shown.substr(0, 20) + "...";
    return fail(ErrorKind::invalid, "template: {}:{}:{}: executing {} at <{}>: {}", name_, line, column,
                go_quote(name_), shown, message);
  }

  std::string_view name_;
  std::string_view text_;
  const TemplateOptions& options_;
  const json::value* root_;
  std::vector<std::pair<std::string, Value>> variables_;
};

bool operand_mentions(const TemplateOperand& operand, std::string_view field);
bool pipeline_mentions(const TemplatePipeline& pipeline, std::string_view field) {
  for (const TemplateCommand& command : pipeline.commands)
    for (const TemplateOperand& operand : command)
      if (operand_mentions(operand, field)) return true;
  return false;
}
bool operand_mentions(const TemplateOperand& operand, std::string_view field) {
  if (operand.kind == TemplateOperand::Kind::dot) return true;  // all of them
  if (!operand.fields.empty() && operand.fields[0] == field) return true;
  return operand.pipeline && pipeline_mentions(*operand.pipeline, field);
}
bool nodes_mention(const std::vector<TemplateNode>& nodes, std::string_view field) {
  return std::ranges::any_of(nodes, [&](const TemplateNode& node) {
    return pipeline_mentions(node.pipeline, field) || nodes_mention(node.body, field) ||
           nodes_mention(node.otherwise, field);
  });
}

}  // namespace

Result<Template> Template::parse(std::string_view text, std::string_view name) {
  Template made;
  made.name_ = name;
  made.text_ = text;
  std::vector<TemplateNode> nodes = TRY(parse_template(text, name));
  made.nodes_ = std::make_shared<const std::vector<TemplateNode>>(std::move(nodes));
  return made;
}

Result<std::string> Template::execute(const json::value& root, const TemplateOptions& options) const {
  Execution execution(name_, text_, options, root);
  TRY(execution.run(*nodes_, Value::borrow(root)));
  return std::move(execution.output);
}

bool Template::mentions(std::string_view field) const { return nodes_mention(*nodes_, field); }

}  // namespace berth::cli
