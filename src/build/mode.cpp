// SPDX-License-Identifier: Apache-2.0
#include "build/mode.h"

#include "base/text.h"

namespace berth::build {
namespace {

constexpr std::uint32_t kUser = 04700, kGroup = 02070, kOther = 01007;

// The three permission bits of u, g or o for everybody.
std::uint32_t spread(std::uint32_t permissions) { return permissions << 6 | permissions << 3 | permissions; }

std::uint32_t who_of(char letter) {
  switch (letter) {
    case 'u':
      return kUser;
    case 'g':
      return kGroup;
    case 'o':
      return kOther;
    case 'a':
      return kUser | kGroup | kOther;
    default:
      return 0;
  }
}

std::unexpected<Error> wrong(std::string_view text) {
  return fail(ErrorKind::invalid,
              "invalid --chmod \"{}\": it takes octal digits (0755) or what chmod takes (u=rwX,go=rX)", text);
}

}  // namespace

Result<ModeChange> ModeChange::parse(std::string_view text) {
  ModeChange change;
  if (std::optional<std::uint32_t> octal = parse_integer<std::uint32_t>(text, 8)) {
    if (*octal > 07777) return wrong(text);
    change.change_ = *octal;
    return change;
  }
  std::vector<Clause> clauses;
  for (std::string_view part : split(text, ',')) {
    std::uint32_t who = 0;
    std::size_t at = 0;
    while (at < part.size() && who_of(part[at]) != 0) who |= who_of(part[at++]);
    if (who == 0) who = kUser | kGroup | kOther;
    if (at == part.size()) return wrong(text);
    while (at < part.size()) {
      Clause clause{.who = who, .action = part[at++]};
      if (clause.action != '+' && clause.action != '-' && clause.action != '=') return wrong(text);
      for (; at < part.size() && part[at] != '+' && part[at] != '-' && part[at] != '='; ++at) {
        switch (part[at]) {
          case 'r':
            clause.bits |= spread(4);
            break;
          case 'w':
            clause.bits |= spread(2);
            break;
          case 'x':
            clause.bits |= spread(1);
            break;
          case 'X':
            clause.execute_if_any = true;
            break;
          case 's':
            clause.bits |= 06000;
            break;
          case 't':
            clause.bits |= 01000;
            break;
          case 'u':
          case 'g':
          case 'o':
            clause.copied_from = part[at];
            break;
          default:
            return wrong(text);
        }
      }
      clauses.push_back(clause);
    }
  }
  change.change_ = std::move(clauses);
  return change;
}

std::uint32_t ModeChange::apply(const Clause& clause, std::uint32_t mode, bool is_directory) const noexcept {
  std::uint32_t bits = clause.bits;
  if (clause.execute_if_any && (is_directory || (mode & 0111) != 0)) bits |= spread(1);
  if (clause.copied_from == 'u') bits |= spread(mode >> 6 & 7);
  if (clause.copied_from == 'g') bits |= spread(mode >> 3 & 7);
  if (clause.copied_from == 'o') bits |= spread(mode & 7);
  bits &= clause.who;
  if (clause.action == '+') return mode | bits;
  if (clause.action == '-') return mode & ~bits;
  return (mode & ~clause.who) | bits;
}

std::uint32_t ModeChange::apply(std::uint32_t mode, bool is_directory) const noexcept {
  if (const std::uint32_t* octal = std::get_if<std::uint32_t>(&change_)) return *octal;
  mode &= 07777;
  for (const Clause& clause : std::get<std::vector<Clause>>(change_))
    mode = apply(clause, mode, is_directory);
  return mode;
}

}  // namespace berth::build
