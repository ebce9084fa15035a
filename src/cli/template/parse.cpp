// SPDX-License-Identifier: Apache-2.0
// Text to nodes. The grammar is that of Go's text/template/parse; positions are byte offsets, as in its
// errors.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "cli/template/node.h"

namespace berth::cli {
namespace {

constexpr int kDepthLimit = 100;  // of parentheses and blocks: templates come from users' files too

struct Token {
  enum class Kind {
    end,
    word,
    field,
    variable,
    dot,
    string,
    character,
    number,
    pipe,
    open,
    close,
    assign,
    declare,
    comma
  };
  Kind kind = Kind::end;
  std::size_t position = 0;
  std::string_view text;
};

bool is_letter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80); }

class Parser {
 public:
  Parser(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  Result<std::vector<TemplateNode>> parse() {
    std::vector<TemplateNode> nodes;
    std::string_view stop = TRY(parse_block(nodes, 0, false));
    if (!stop.empty()) return error("unexpected {{" + std::string(stop) + "}}");
    return nodes;
  }

 private:
  std::unexpected<Error> error(const std::string& message) const {
    std::size_t line = 1 + static_cast<std::size_t>(std::ranges::count(text_.substr(0, at_), '\n'));
    return fail(ErrorKind::invalid, "template: {}:{}: {}", name_, line, message);
  }

  // Nodes up to {{end}} or {{else...}}: returns that word and leaves the action's tokens for the caller.
  Result<std::string_view> parse_block(std::vector<TemplateNode>& nodes, int depth, bool in_loop) {
    if (depth > kDepthLimit) return error("too many nested blocks");
    for (;;) {
      std::size_t open = text_.find("{{", at_);
      std::string_view before = text_.substr(at_, open == text_.npos ? open : open - at_);
      if (trim_next_) {
        std::size_t first = before.find_first_not_of(" \t\r\n");
        before.remove_prefix(first == before.npos ? before.size() : first);
        trim_next_ = false;
      }
      bool trims = open != text_.npos && text_.substr(open).starts_with("{{-") && open + 3 < text_.size() &&
                   std::isspace(static_cast<unsigned char>(text_[open + 3]));
      if (trims) {
        std::size_t last = before.find_last_not_of(" \t\r\n");
        before = last == before.npos ? std::string_view{} : before.substr(0, last + 1);
      }
      if (!before.empty()) {
        nodes.emplace_back();
        nodes.back().text = before;
      }
      if (open == text_.npos) {
        at_ = text_.size();
        if (depth > 0) return error("unexpected EOF");
        return std::string_view{};
      }
      at_ = open + (trims ? 3 : 2);
      bool comment = TRY(skip_comment());
      if (comment) continue;
      TRY(read_tokens());
      if (tokens_.size() == 1) return error("missing value for command");
      const Token& first = tokens_[0];
      if (first.kind == Token::Kind::word) {
        std::string_view word = first.text;
        if (word == "end" || word == "else") {
          if (depth == 0) return error(fmt::format("unexpected {{{{{}}}}}", word));
          return word;
        }
        if (word == "break" || word == "continue") {
          if (!in_loop) return error(fmt::format("{{{{{}}}}} outside {{{{range}}}}", word));
          nodes.emplace_back();
          nodes.back().kind =
              word == "break" ? TemplateNode::Kind::break_loop : TemplateNode::Kind::continue_loop;
          continue;
        }
        if (word == "if" || word == "with" || word == "range") {
          next_ = 1;
          nodes.emplace_back();
          TRY(parse_control(nodes.back(), word, depth, in_loop));
          continue;
        }
        if (word == "define" || word == "template" || word == "block")
          return error(fmt::format("{{{{{}}}}} is not supported here", word));
      }
      TemplateNode node;
      node.kind = TemplateNode::Kind::action;
      next_ = 0;
      node.pipeline = TRY(parse_pipeline(0, "command", false));
      nodes.push_back(std::move(node));
    }
  }

  Result<void> parse_control(TemplateNode& node, std::string_view word, int depth, bool in_loop) {
    bool loop = word == "range";
    node.kind = loop             ? TemplateNode::Kind::loop
                : word == "with" ? TemplateNode::Kind::branch_with
                                 : TemplateNode::Kind::branch_if;
    node.pipeline = TRY(parse_pipeline(0, word, loop));
    std::string_view stop = TRY(parse_block(node.body, depth + 1, in_loop || loop));
    if (stop == "end") return {};
    if (tokens_.size() > 2 && !loop && tokens_[1].kind == Token::Kind::word && tokens_[1].text == word) {
      next_ = 2;
      node.otherwise.emplace_back();
      return parse_control(node.otherwise.back(), word, depth + 1, in_loop);  // its {{end}} ends both
    }
    if (tokens_.size() > 2) return error(fmt::format("unexpected <{}> in else", tokens_[1].text));
    stop = TRY(parse_block(node.otherwise, depth + 1, in_loop));
    if (stop != "end") return error("expected end; found {{else}}");
    return {};
  }

  Result<bool> skip_comment() {
    std::size_t start = at_;
    while (start < text_.size() && std::isspace(static_cast<unsigned char>(text_[start]))) ++start;
    if (!text_.substr(start).starts_with("/*")) return false;
    std::size_t end = text_.find("*/", start + 2);
    if (end == text_.npos) return error("unclosed comment");
    std::string_view rest = text_.substr(end + 2);
    if (rest.starts_with("}}")) {
      at_ = end + 4;
    } else if (rest.size() >= 4 && std::isspace(static_cast<unsigned char>(rest[0])) &&
               rest.substr(1).starts_with("-}}")) {
      at_ = end + 6;
      trim_next_ = true;
    } else {
      return error("comment ends before closing delimiter");
    }
    return true;
  }

  Result<void> read_tokens() {
    tokens_.clear();
    next_ = 0;
    for (;;) {
      if (at_ >= text_.size()) return error("unclosed action");
      char c = text_[at_];
      std::string_view rest = text_.substr(at_);
      if (std::isspace(static_cast<unsigned char>(c))) {
        if (rest.substr(1).starts_with("-}}")) {
          end_action(1 + 3);
          trim_next_ = true;
          return {};
        }
        ++at_;
        continue;
      }
      if (rest.starts_with("}}")) {
        end_action(2);
        return {};
      }
      TRY(read_token(rest));
    }
  }

  void end_action(std::size_t length) {
    tokens_.push_back({Token::Kind::end, at_, {}});
    at_ += length;
  }

  void add(Token::Kind kind, std::size_t length) {
    tokens_.push_back({kind, at_, text_.substr(at_, length)});
    at_ += length;
  }

  Result<void> read_token(std::string_view rest) {
    auto word_length = [&](std::size_t from) {
      std::size_t length = from;
      while (length < rest.size() && is_letter(rest[length])) ++length;
      return length;
    };
    char c = rest[0];
    char following = rest.size() > 1 ? rest[1] : '\0';
    if (c == '|') return add(Token::Kind::pipe, 1), Result<void>{};
    if (c == '(') return add(Token::Kind::open, 1), Result<void>{};
    if (c == ')') return add(Token::Kind::close, 1), Result<void>{};
    if (c == ',') return add(Token::Kind::comma, 1), Result<void>{};
    if (c == '=') return add(Token::Kind::assign, 1), Result<void>{};
    if (c == ':') {
      if (following != '=') return error("expected :=");
      return add(Token::Kind::declare, 2), Result<void>{};
    }
    if (c == '"' || c == '\'') {
      std::size_t end = 1;
      for (; end < rest.size() && rest[end] != c; ++end) {
        if (rest[end] == '\\') ++end;
        if (end < rest.size() && rest[end] == '\n') break;
      }
      if (end >= rest.size() || rest[end] != c)
        return error(c == '"' ? "unterminated quoted string" : "unterminated character constant");
      return add(c == '"' ? Token::Kind::string : Token::Kind::character, end + 1), Result<void>{};
    }
    if (c == '`') {
      std::size_t end = rest.find('`', 1);
      if (end == rest.npos) return error("unterminated raw quoted string");
      return add(Token::Kind::string, end + 1), Result<void>{};
    }
    if (c == '$') return add(Token::Kind::variable, word_length(1)), Result<void>{};
    if (c == '.' && !std::isdigit(static_cast<unsigned char>(following))) {
      std::size_t length = word_length(1);
      return add(length == 1 ? Token::Kind::dot : Token::Kind::field, length), Result<void>{};
    }
    if (std::isdigit(static_cast<unsigned char>(c)) || c == '+' || c == '-' || c == '.') {
      std::size_t length = 1;
      while (length < rest.size() && (is_letter(rest[length]) || rest[length] == '.' ||
                                      ((rest[length] == '-' || rest[length] == '+') &&
                                       (rest[length - 1] == 'e' || rest[length - 1] == 'E'))))
        ++length;
      return add(Token::Kind::number, length), Result<void>{};
    }
    if (is_letter(c)) return add(Token::Kind::word, word_length(0)), Result<void>{};
    return error(fmt::format("unexpected {} in operand", go_quote(rest.substr(0, 1))));
  }

  const Token& peek() const { return tokens_[next_]; }

  Result<TemplatePipeline> parse_pipeline(int depth, std::string_view context, bool loop) {
    if (depth > kDepthLimit) return error("too many nested parentheses");
    TemplatePipeline pipeline;
    pipeline.position = peek().position;
    if (depth == 0) TRY(parse_assignment(pipeline, loop));
    Token::Kind stop = depth > 0 ? Token::Kind::close : Token::Kind::end;
    for (;;) {
      TemplateCommand command = TRY(parse_command(depth));
      if (command.empty()) {
        if (pipeline.commands.empty() || peek().kind == Token::Kind::pipe || peek().kind == stop)
          return error(fmt::format("missing value for {}", context));
      }
      if (!pipeline.commands.empty() && command[0].kind == TemplateOperand::Kind::literal)
        return error(
            fmt::format("non executable command in pipeline stage {}", pipeline.commands.size() + 1));
      pipeline.commands.push_back(std::move(command));
      if (peek().kind == Token::Kind::pipe) {
        ++next_;
        continue;
      }
      if (peek().kind != stop) {
        if (peek().kind == Token::Kind::end) return error("unclosed left paren");
        if (peek().kind == Token::Kind::close) return error("unexpected right paren");
        return error(fmt::format("unexpected <{}> in {}", peek().text, context));
      }
      pipeline.text = trim(text_.substr(pipeline.position, peek().position - pipeline.position));
      ++next_;
      return pipeline;
    }
  }

  Result<void> parse_assignment(TemplatePipeline& pipeline, bool loop) {
    if (peek().kind != Token::Kind::variable) return {};
    const Token& second = tokens_[next_ + 1];
    std::string first(peek().text);
    if (second.kind == Token::Kind::declare || second.kind == Token::Kind::assign) {
      pipeline.variables = {first};
      pipeline.declares = second.kind == Token::Kind::declare;
      next_ += 2;
    } else if (second.kind == Token::Kind::comma) {
      if (!loop) return error("unexpected \",\" in command");
      if (tokens_[next_ + 2].kind != Token::Kind::variable)
        return error("range can only initialize variables");
      pipeline.variables = {first, std::string(tokens_[next_ + 2].text)};
      Token::Kind sign = tokens_[next_ + 3].kind;
      if (sign != Token::Kind::declare && sign != Token::Kind::assign)
        return error("range can only initialize variables");
      pipeline.declares = sign == Token::Kind::declare;
      next_ += 4;
    }
    return {};
  }

  Result<TemplateCommand> parse_command(int depth) {
    TemplateCommand command;
    while (peek().kind != Token::Kind::end && peek().kind != Token::Kind::pipe &&
           peek().kind != Token::Kind::close) {
      if (!command.empty() &&
          peek().position == tokens_[next_ - 1].position + tokens_[next_ - 1].text.size() &&
          peek().kind == Token::Kind::field)
        return error(
            fmt::format("unexpected <{}> after term {}", peek().text, go_quote(command.back().text)));
      TemplateOperand operand = TRY(parse_operand(depth));
      command.push_back(std::move(operand));
    }
    return command;
  }

  Result<TemplateOperand> parse_operand(int depth) {
    Token token = peek();
    TemplateOperand operand;
    operand.position = token.position;
    operand.text = token.text;
    ++next_;
    using Kind = TemplateOperand::Kind;
    switch (token.kind) {
      case Token::Kind::dot:
        operand.kind = Kind::dot;
        break;
      case Token::Kind::field:
        operand.kind = Kind::field;
        operand.fields.emplace_back(token.text.substr(1));
        break;
      case Token::Kind::variable:
        operand.kind = Kind::variable;
        operand.name = token.text;
        break;
      case Token::Kind::word:
        TRY(parse_word(operand, token.text));
        break;
      case Token::Kind::string: {
        std::string text = TRY(unquote(token.text));
        operand.literal = Value::own(json::value(text));
        break;
      }
      case Token::Kind::character: {
        std::string text = TRY(unquote(token.text));
        operand.literal =
            Value::own(json::value(static_cast<std::int64_t>(static_cast<unsigned char>(text[0]))));
        break;
      }
      case Token::Kind::number:
        operand.literal = TRY(parse_number(token.text));
        break;
      case Token::Kind::open: {
        operand.kind = Kind::pipeline;
        TemplatePipeline inner = TRY(parse_pipeline(depth + 1, "parenthesized pipeline", false));
        operand.pipeline = std::make_shared<TemplatePipeline>(std::move(inner));
        operand.text = "(" + operand.pipeline->text + ")";
        break;
      }
      default:
        return error(fmt::format("unexpected {} in operand", go_quote(token.text)));
    }
    TRY(parse_chain(operand));
    return operand;
  }

  // Fields that touch what stands before them: .A.B, $x.A, (...).A
  Result<void> parse_chain(TemplateOperand& operand) {
    bool first = true;
    while (peek().kind == Token::Kind::field &&
           peek().position == tokens_[next_ - 1].position + tokens_[next_ - 1].text.size()) {
      if (operand.kind == TemplateOperand::Kind::literal || operand.kind == TemplateOperand::Kind::function ||
          operand.kind == TemplateOperand::Kind::dot)
        return error(fmt::format("unexpected . after term {}", go_quote(operand.text)));
      if (first) operand.position = peek().position;  // where Go's errors point
      first = false;
      operand.fields.emplace_back(peek().text.substr(1));
      operand.text += peek().text;
      ++next_;
    }
    return {};
  }

  Result<void> parse_word(TemplateOperand& operand, std::string_view word) {
    if (word == "true" || word == "false") {
      operand.literal = Value::own(json::value(word == "true"));
    } else if (word == "nil") {
      operand.literal = Value{};
    } else {
      if (!known_function(word)) return error(fmt::format("function {} not defined", go_quote(word)));
      operand.kind = TemplateOperand::Kind::function;
      operand.name = word;
    }
    return {};
  }

  static bool known_function(std::string_view word) {
    static constexpr std::string_view names[] = {
        "and",   "or",    "not",  "eq",    "ne",     "lt",      "le",   "gt",      "ge",
        "index", "slice", "len",  "print", "printf", "println", "html", "js",      "urlquery",
        "json",  "split", "join", "title", "lower",  "upper",   "pad",  "truncate"};
    return std::ranges::find(names, word) != std::end(names);
  }

  Result<Value> parse_number(std::string_view text) {
    std::string digits(text);
    std::erase(digits, '_');
    std::string_view body = digits;
    bool negative = body.starts_with('-');
    if (negative || body.starts_with('+')) body.remove_prefix(1);
    int base = 10;
    if (body.starts_with("0x") || body.starts_with("0X"))
      base = 16, body.remove_prefix(2);
    else if (body.starts_with("0o"))
      base = 8, body.remove_prefix(2);
    else if (body.starts_with("0b"))
      base = 2, body.remove_prefix(2);
    if (auto integer = parse_integer<std::int64_t>(body, base); integer && !body.starts_with('-'))
      return Value::own(json::value(negative ? -*integer : *integer));
    double real = 0;
    auto [end, problem] = std::from_chars(body.data(), body.data() + body.size(), real);
    if (base != 10 || problem != std::errc{} || end != body.data() + body.size())
      return error(fmt::format("bad number syntax: {}", go_quote(text)));
    return Value::own(json::value(negative ? -real : real));
  }

  Result<std::string> unquote(std::string_view quoted) {
    std::string out;
    std::string_view body = quoted.substr(1, quoted.size() - 2);
    if (quoted[0] == '`') return std::string(body);
    for (std::size_t i = 0; i < body.size(); ++i) {
      if (body[i] != '\\') {
        out += body[i];
        continue;
      }
      static constexpr std::string_view letters = "abfnrtv\\\"'", meanings = "\a\b\f\n\r\t\v\\\"'";
      char c = body[++i];
      if (std::size_t known = letters.find(c); known != letters.npos) {
        out += meanings[known];
      } else if (c == 'x' || c == 'u') {
        std::size_t length = c == 'x' ? 2 : 4;
        auto code = parse_integer<std::uint32_t>(body.substr(i + 1, length), 16);
        if (!code || i + length >= body.size()) return error("invalid syntax");
        if (c == 'x')
          out += static_cast<char>(*code);
        else
          append_utf8(out, *code);
        i += length;
      } else {
        return error("invalid syntax");
      }
    }
    if (quoted[0] == '\'' && out.empty())
      return error(fmt::format("malformed character constant: {}", quoted));
    return out;
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xc0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
      out += static_cast<char>(0xe0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    }
  }

  std::string_view text_;
  std::string_view name_;
  std::size_t at_ = 0;
  bool trim_next_ = false;
  std::vector<Token> tokens_;  // of the action being read, ended by Kind::end
  std::size_t next_ = 0;
};

}  // namespace

Result<std::vector<TemplateNode>> parse_template(std::string_view text, std::string_view name) {
  return Parser(text, name).parse();
}

}  // namespace berth::cli
