// SPDX-License-Identifier: Apache-2.0
// The compiler from a policy to classic BPF.
//
// The program is written from its end to its start: every jump goes forward, so its target exists already and
// the returns at the end of an architecture's part can be shared by all leaves that are near enough.
#include "sys/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>

#include "oci/runtime_spec.h"
#include "sys/seccomp_numbers.h"

namespace berth::sys {
namespace {

enum class Comparison { not_equal, less, less_or_equal, equal, greater_or_equal, greater, masked_equal };

struct Condition {
  std::uint32_t index = 0;
  Comparison comparison = Comparison::equal;
  std::uint64_t value = 0;
  std::uint64_t mask = ~std::uint64_t{0};
};

struct Verdict {
  std::vector<Condition> conditions;  // all must hold
  std::uint32_t action = 0;
};

// What happens to one call: the first verdict whose conditions hold, else `otherwise`.
struct Leaf {
  std::vector<Verdict> verdicts;
  std::uint32_t otherwise = 0;
};

// Calls from `first` up to the next range's first share a leaf.
struct Range {
  std::uint32_t first = 0;
  const Leaf* leaf = nullptr;
};

Result<Condition> condition_of(const oci::SeccompArgument& argument) {
  if (argument.index > 5)
    return fail(ErrorKind::invalid, "a seccomp rule looks at argument {}, but calls have 0 to 5",
                argument.index);
  static constexpr std::pair<std::string_view, Comparison> kNames[] = {
      {"SCMP_CMP_NE", Comparison::not_equal},          {"SCMP_CMP_LT", Comparison::less},
      {"SCMP_CMP_LE", Comparison::less_or_equal},      {"SCMP_CMP_EQ", Comparison::equal},
      {"SCMP_CMP_GE", Comparison::greater_or_equal},   {"SCMP_CMP_GT", Comparison::greater},
      {"SCMP_CMP_MASKED_EQ", Comparison::masked_equal}};
  for (const auto& [name, comparison] : kNames) {
    if (name != argument.op) continue;
    if (comparison == Comparison::masked_equal)
      return Condition{argument.index, comparison, argument.value_two & argument.value, argument.value};
    return Condition{argument.index, comparison, argument.value, ~std::uint64_t{0}};
  }
  return fail(ErrorKind::invalid, "\"{}\" is not a seccomp comparison", argument.op);
}

// Runtimes have always read several conditions on the SAME argument as alternatives, and conditions on
// different arguments as all needed.
Result<std::vector<std::vector<Condition>>> alternatives_of(const oci::SeccompRule& rule) {
  std::vector<Condition> all;
  bool repeated = false;
  for (const oci::SeccompArgument& argument : rule.args) {
    Condition condition = TRY(condition_of(argument));
    repeated |= std::ranges::any_of(all, [&](const Condition& one) { return one.index == condition.index; });
    all.push_back(condition);
  }
  std::vector<std::vector<Condition>> out;
  if (!repeated) {
    out.push_back(std::move(all));
  } else {
    for (const Condition& condition : all) out.push_back({condition});
  }
  return out;
}

// One AUDIT_ARCH: its calls and their leaves. x86_64 and x32 share one, their numbers do not overlap.
struct Table {
  std::uint32_t audit = 0;
  bool has_native = false;
  bool has_x32 = false;
  std::map<std::uint32_t, Leaf> calls;
  std::map<std::uint32_t, bool> decided;  // a rule without conditions was seen
};

class Policy {
 public:
  explicit Policy(const oci::LinuxSeccomp& policy) : in_(policy) {}

  Result<std::vector<Table>> run(std::vector<std::string>& unknown) {
    default_ = TRY(action_value(in_.default_action, in_.default_errno_return));
    TRY(choose_architectures());
    for (const oci::SeccompRule& rule : in_.syscalls) TRY(add_rule(rule, unknown));
    return std::move(tables_);
  }
  std::uint32_t default_action() const { return default_; }

 private:
  Result<void> choose_architectures() {
    auto use = [&](const Architecture& one) {
      if (std::ranges::find(used_, &one) == used_.end()) used_.push_back(&one);
    };
    use(native_architecture());  // libseccomp always has it too: a filter without it kills at once
    for (const std::string& name : in_.architectures) {
      const Architecture* one = architecture_by_name(name);
      if (one)
        use(*one);
      else if (!name.starts_with("SCMP_ARCH_"))
        return fail(ErrorKind::invalid, "\"{}\" is not a seccomp architecture", name);
    }
    for (const Architecture* one : used_) {
      Table& table = table_of(*one);
      (one->name == "SCMP_ARCH_X32" ? table.has_x32 : table.has_native) = true;
    }
    return {};
  }

  Table& table_of(const Architecture& architecture) {
    for (Table& table : tables_)
      if (table.audit == architecture.audit) return table;
    tables_.push_back({architecture.audit, false, false, {}, {}});
    return tables_.back();
  }

  Result<void> add_rule(const oci::SeccompRule& rule, std::vector<std::string>& unknown) {
    std::uint32_t action = TRY(action_value(rule.action, rule.errno_return));
    std::vector<std::vector<Condition>> alternatives = TRY(alternatives_of(rule));
    for (const std::string& name : rule.names) {
      bool known = false;
      for (const Architecture* architecture : used_) {
        std::optional<std::uint32_t> number = call_number(*architecture, name);
        if (!number) continue;
        known = true;
        add_call(table_of(*architecture), *number, alternatives, action);
      }
      if (!known) unknown.push_back(name);
    }
    return {};
  }

  // Conditional verdicts go before an unconditional one, whichever was written first: so "allow socket" and
  // "refuse socket(AF_X)" mean the same in both orders. Of two unconditional ones the first counts.
  void add_call(Table& table, std::uint32_t number, const std::vector<std::vector<Condition>>& alternatives,
                std::uint32_t action) {
    Leaf& leaf = table.calls.try_emplace(number, Leaf{{}, default_}).first->second;
    for (const std::vector<Condition>& conditions : alternatives) {
      if (!conditions.empty())
        leaf.verdicts.push_back({conditions, action});
      else if (!std::exchange(table.decided[number], true))
        leaf.otherwise = action;
    }
  }

  const oci::LinuxSeccomp& in_;
  std::uint32_t default_ = 0;
  std::vector<const Architecture*> used_;
  std::vector<Table> tables_;
};

bool same(const Leaf& a, const Leaf& b) {
  return a.verdicts.empty() && b.verdicts.empty() && a.otherwise == b.otherwise;
}

// Where an instruction is, counted from the program's end.
using Label = std::size_t;

class Writer {
 public:
  Label put(std::uint16_t code, std::uint32_t k, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    reversed_.push_back({code, if_true, if_false, k});
    return reversed_.size();
  }

  Label give(std::uint32_t action) {
    auto [found, fresh] = returns_.try_emplace(action, 0);
    if (fresh || distance(found->second) > 200) found->second = put(BPF_RET | BPF_K, action);
    return found->second;
  }

  Label branch(std::uint16_t test, std::uint32_t k, Label if_true, Label if_false) {
    // Either may be moved away by the jump that is put in for the other, hence the margin.
    if (distance(if_true) > 250) if_true = jump(if_true);
    if (distance(if_false) > 250) if_false = jump(if_false);
    return put(BPF_JMP | BPF_K | test, k, static_cast<std::uint8_t>(distance(if_true)),
               static_cast<std::uint8_t>(distance(if_false)));
  }

  Label load(std::size_t offset) { return put(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }

  // What is written next must continue at `target`: a jump unless it is there anyway.
  void continue_at(Label target) {
    if (distance(target) != 0) jump(target);
  }

  std::vector<sock_filter> finish() {
    std::ranges::reverse(reversed_);
    return std::move(reversed_);
  }

 private:
  std::size_t distance(Label target) const { return reversed_.size() - target; }
  Label jump(Label target) { return put(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(distance(target))); }
  std::vector<sock_filter> reversed_;
  std::map<std::uint32_t, Label> returns_;
};

constexpr std::size_t low_word(std::uint32_t index) {
  return offsetof(seccomp_data, args) + index * 8 + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
}
constexpr std::size_t high_word(std::uint32_t index) {
  return offsetof(seccomp_data, args) + index * 8 + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 0 : 4);
}

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }

// Arguments are 64 bits wide, the machine of BPF 32: the upper word decides unless it is equal.
Label write_ordered(Writer& out, const Condition& condition, bool or_equal, Label above, Label below) {
  Label lower = out.branch(or_equal ? BPF_JGE : BPF_JGT, low(condition.value), above, below);
  out.continue_at(lower);
  lower = out.load(low_word(condition.index));
  Label equal = out.branch(BPF_JEQ, high(condition.value), lower, below);
  out.continue_at(equal);
  out.branch(BPF_JGT, high(condition.value), above, equal);
  return out.load(high_word(condition.index));
}

Label write_equal(Writer& out, const Condition& condition, Label yes, Label no) {
  auto word = [&](std::size_t offset, std::uint32_t mask, std::uint32_t value, Label if_equal) {
    out.branch(BPF_JEQ, value, if_equal, no);
    if (mask != 0xffffffff) out.put(BPF_ALU | BPF_AND | BPF_K, mask);
    return out.load(offset);
  };
  Label next = yes;
  if (low(condition.mask))
    next = word(low_word(condition.index), low(condition.mask), low(condition.value), next);
  if (high(condition.mask))
    next = word(high_word(condition.index), high(condition.mask), high(condition.value), next);
  return next;
}

Label write_condition(Writer& out, const Condition& condition, Label yes, Label no) {
  switch (condition.comparison) {
    case Comparison::equal:
    case Comparison::masked_equal:
      return write_equal(out, condition, yes, no);
    case Comparison::not_equal:
      return write_equal(out, condition, no, yes);
    case Comparison::greater:
      return write_ordered(out, condition, false, yes, no);
    case Comparison::greater_or_equal:
      return write_ordered(out, condition, true, yes, no);
    case Comparison::less:
      return write_ordered(out, condition, true, no, yes);
    case Comparison::less_or_equal:
      return write_ordered(out, condition, false, no, yes);
  }
  return no;
}

Label write_leaf(Writer& out, const Leaf& leaf) {
  Label next = out.give(leaf.otherwise);
  for (auto verdict = leaf.verdicts.rbegin(); verdict != leaf.verdicts.rend(); ++verdict) {
    Label yes = out.give(verdict->action);
    for (auto condition = verdict->conditions.rbegin(); condition != verdict->conditions.rend(); ++condition)
      yes = write_condition(out, *condition, yes, next);
    next = yes;
  }
  return next;
}

Label write_search(Writer& out, const std::vector<Range>& ranges, std::size_t begin, std::size_t end) {
  if (end - begin == 1) return write_leaf(out, *ranges[begin].leaf);
  std::size_t middle = begin + (end - begin) / 2;
  Label right = write_search(out, ranges, middle, end);
  Label left = write_search(out, ranges, begin, middle);
  return out.branch(BPF_JGE, ranges[middle].first, right, left);
}

std::vector<Range> ranges_of(const Table& table, const Leaf& otherwise, const Leaf& newer,
                             const Leaf& foreign) {
  std::vector<Range> out;
  auto add = [&](std::uint32_t first, const Leaf& leaf) {
    if (!out.empty() && out.back().first == first) out.pop_back();
    if (out.empty() || !same(*out.back().leaf, leaf)) out.push_back({first, &leaf});
  };
  constexpr std::uint32_t kX32 = 0x40000000;
  add(0, table.has_native ? otherwise : foreign);
  std::uint32_t previous = 0;
  for (const auto& [number, leaf] : table.calls) {
    if (number >= kX32 && previous < kX32) {
      add(previous + 1, newer);
      add(kX32, otherwise);
    }
    add(number, leaf);
    add(number + 1, otherwise);
    previous = number;
  }
  add(previous + 1, newer);
  if (table.audit == AUDIT_ARCH_X86_64 && !table.has_x32) add(kX32, foreign);
  return out;
}

Result<unsigned> flags_of(const std::vector<std::string>& names) {
  unsigned flags = 0;
  for (const std::string& name : names) {
    if (name == "SECCOMP_FILTER_FLAG_LOG")
      flags |= SECCOMP_FILTER_FLAG_LOG;
    else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
      flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    else if (name != "SECCOMP_FILTER_FLAG_TSYNC")  // the filter is loaded by a process with one thread
      return fail(ErrorKind::unsupported, "the seccomp flag \"{}\" is not supported", name);
  }
  return flags;
}

}  // namespace

Result<SeccompProgram> compile_seccomp(const oci::LinuxSeccomp& policy) {
  SeccompProgram program;
  program.flags = TRY(flags_of(policy.flags));
  Policy reader(policy);
  std::vector<Table> tables = TRY(reader.run(program.unknown));

  const Leaf otherwise{{}, reader.default_action()};
  // A call that is newer than the policy does not exist as far as the program is concerned: C libraries try a
  // new call and fall back when they hear ENOSYS, but give up on EPERM.
  const bool refuses = (reader.default_action() & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
  const Leaf newer{{}, refuses ? SECCOMP_RET_ERRNO | ENOSYS : reader.default_action()};
  const Leaf foreign{{}, SECCOMP_RET_ERRNO | ENOSYS};

  Writer out;
  Label next = out.put(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);  // an architecture that nobody listed
  for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
    std::vector<Range> ranges = ranges_of(*table, otherwise, newer, foreign);
    Label search = write_search(out, ranges, 0, ranges.size());
    out.continue_at(search);
    Label start = out.load(offsetof(seccomp_data, nr));
    next = out.branch(BPF_JEQ, table->audit, start, next);
    // The accumulator still holds the architecture when the test fails, so the next test can use it.
  }
  out.continue_at(next);
  out.load(offsetof(seccomp_data, arch));
  program.instructions = out.finish();
  if (program.instructions.size() > BPF_MAXINSNS)
    return fail(ErrorKind::invalid, "the seccomp policy is too large: {} instructions, the kernel takes {}",
                program.instructions.size(), BPF_MAXINSNS);
  return program;
}

int load_seccomp(const SeccompProgram& program) noexcept {
  sock_fprog filter{static_cast<unsigned short>(program.instructions.size()),
                    const_cast<sock_filter*>(program.instructions.data())};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program.flags, &filter) == 0 ? 0 : errno;
}

}  // namespace berth::sys
