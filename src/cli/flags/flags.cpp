// SPDX-License-Identifier: Apache-2.0
#include "cli/flags/flags.h"

#include <algorithm>
#include <cstdlib>

#include "base/clock.h"
#include "base/text.h"
#include "cli/flags/checks.h"

namespace berth::cli {
namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

std::size_t find_long(std::span<const FlagSpec> table, std::string_view name) {
  for (std::size_t i = 0; i < table.size(); ++i)
    if (table[i].name == name) return table[i].stands_for.empty() ? i : find_long(table, table[i].stands_for);
  return kNone;
}

std::size_t find_short(std::span<const FlagSpec> table, char letter) {
  for (std::size_t i = 0; i < table.size(); ++i)
    if (table[i].shorthand == letter) return i;
  return kNone;
}

bool is_switch(const FlagSpec& flag) { return flag.type.empty(); }
bool collects(const FlagSpec& flag) {
  static constexpr std::string_view kinds[] = {"list",  "map",    "filter",  "strings",
                                               "mount", "ulimit", "network", "gpu-request"};
  return std::ranges::find(kinds, flag.type) != std::end(kinds);
}

class Parsing {
 public:
  Parsing(std::span<const FlagSpec> table, std::span<const std::string> arguments)
      : table_(table), rest_(arguments), parsed_{Flags(table), {}, false} {}

  Result<Parsed> run(bool interspersed) {
    while (!rest_.empty() && !parsed_.help) {
      const std::string& word = rest_[0];
      rest_ = rest_.subspan(1);
      if (word.size() < 2 || word[0] != '-') {
        parsed_.words.push_back(word);
        if (!interspersed) break;
      } else if (word == "--") {
        break;
      } else if (word[1] == '-') {
        TRY(long_flag(word));
      } else {
        TRY(short_flags(word));
      }
    }
    parsed_.words.insert(parsed_.words.end(), rest_.begin(), rest_.end());
    return std::move(parsed_);
  }

 private:
  Result<void> long_flag(const std::string& word) {
    std::string_view body = std::string_view(word).substr(2);
    if (body[0] == '-' || body[0] == '=') return fail(ErrorKind::invalid, "bad flag syntax: {}", word);
    std::size_t equals = body.find('=');
    std::string_view name = body.substr(0, equals);
    std::size_t index = find_long(table_, name);
    if (index == kNone) {
      if (name == "help") {
        parsed_.help = true;
        return {};
      }
      return fail(ErrorKind::invalid, "unknown flag: --{}", name);
    }
    if (equals != body.npos) return set(index, body.substr(equals + 1));
    if (is_switch(table_[index])) return set(index, "true");
    if (rest_.empty()) return fail(ErrorKind::invalid, "flag needs an argument: --{}", name);
    return set_next(index);
  }

  Result<void> short_flags(const std::string& word) {
    std::string_view letters = std::string_view(word).substr(1);
    for (; !letters.empty(); letters.remove_prefix(1)) {
      std::size_t index = find_short(table_, letters[0]);
      if (index == kNone) {
        if (letters[0] == 'h') {
          parsed_.help = true;
          return {};
        }
        return fail(ErrorKind::invalid, "unknown shorthand flag: '{}' in -{}", letters[0], letters);
      }
      if (letters.size() > 2 && letters[1] == '=') return set(index, letters.substr(2));
      if (is_switch(table_[index])) {
        TRY(set(index, "true"));
        continue;
      }
      if (letters.size() > 1) return set(index, letters.substr(1));
      if (rest_.empty())
        return fail(ErrorKind::invalid, "flag needs an argument: '{}' in -{}", letters[0], letters);
      return set_next(index);
    }
    return {};
  }

  Result<void> set_next(std::size_t index) {
    const std::string& argument = rest_[0];
    rest_ = rest_.subspan(1);
    return set(index, argument);
  }

  Result<void> set(std::size_t index, std::string_view argument) {
    Result<void> done = parsed_.flags.set(index, argument);
    if (done) return done;
    const FlagSpec& flag = table_[index];
    std::string name =
        flag.shorthand ? fmt::format("-{}, --{}", flag.shorthand, flag.name) : fmt::format("--{}", flag.name);
    return fail(ErrorKind::invalid, "invalid argument \"{}\" for \"{}\" flag: {}", argument, name,
                done.error().message);
  }

  std::span<const FlagSpec> table_;
  std::span<const std::string> rest_;
  Parsed parsed_;
};

}  // namespace

Result<bool> parse_boolean(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"})
    if (text == yes) return true;
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"})
    if (text == no) return false;
  return fail(ErrorKind::invalid, "strconv.ParseBool: parsing \"{}\": invalid syntax", text);
}

std::size_t Flags::index_of(std::string_view name) const {
  std::size_t index = find_long(table_, name);
  if (index == kNone) {
    fmt::print(stderr, "berth: the command has no flag --{}\n", name);
    std::abort();
  }
  return index;
}

bool Flags::has(std::string_view name) const { return find_long(table_, name) != kNone; }
bool Flags::given(std::string_view name) const { return !values_[index_of(name)].empty(); }
bool Flags::on(std::string_view name) const { return text(name) == "true"; }

std::string Flags::text(std::string_view name) const {
  std::size_t index = index_of(name);
  return values_[index].empty() ? std::string(table_[index].standard) : values_[index].back();
}

const std::vector<std::string>& Flags::list(std::string_view name) const { return values_[index_of(name)]; }
std::int64_t Flags::integer(std::string_view name) const {
  std::string digits = text(name);
  return digits.empty() ? 0 : *parse_go_integer(digits);
}
std::int64_t Flags::bytes(std::string_view name) const {
  std::string size = text(name);
  return size.empty() ? 0 : *parse_bytes_or_unlimited(size);
}
std::int64_t Flags::nanoseconds(std::string_view name) const {
  std::string duration = text(name);
  return duration.empty() ? 0 : parse_duration(duration)->count();
}
bool Flags::any() const {
  return std::ranges::any_of(values_, [](const auto& given) { return !given.empty(); });
}

Result<void> Flags::set(std::size_t index, std::string_view argument) {
  const FlagSpec& flag = table_[index];
  std::string kept(argument);
  if (is_switch(flag))
    kept = TRY(parse_boolean(argument)) ? "true" : "false";
  else if (flag.type == "int")
    TRY(parse_go_integer(argument));
  else if (flag.type == "uint16")
    TRY(check_uint16(argument));
  else if (flag.type == "duration")
    TRY(check_duration(argument));
  else if (flag.type == "bytes")
    TRY(flag.name == "memory-swap" ? parse_bytes_or_unlimited(argument) : parse_bytes(argument));
  else if (flag.type == "decimal")
    TRY(parse_cpus(argument));
  else if (flag.type == "filter")
    kept = TRY(check_filter(argument));
  if (flag.check) kept = TRY(flag.check(kept));
  auto& values = values_[index];
  if (flag.type == "strings") {
    if (kept.empty()) return {};
    for (std::string_view part : split(kept, ',')) values.emplace_back(part);
    return {};
  }
  if (!collects(flag)) values.clear();
  values.push_back(std::move(kept));
  return {};
}

Result<Parsed> parse_flags(std::span<const FlagSpec> table, std::span<const std::string> arguments,
                           bool interspersed) {
  return Parsing(table, arguments).run(interspersed);
}

}  // namespace berth::cli
