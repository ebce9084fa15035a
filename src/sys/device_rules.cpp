// SPDX-License-Identifier: Apache-2.0
#include "sys/device_rules.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/fd.h"

namespace berth::sys {
namespace {

Result<int> device_number(const std::optional<std::int64_t>& number) {
  if (!number || *number < 0) return -1;
  if (*number > std::numeric_limits<int>::max())
    return fail(ErrorKind::invalid, "{} is not a device number", *number);
  return static_cast<int>(*number);
}

Result<DevicePermission> permission_of(const oci::DeviceRule& rule) {
  DevicePermission out;
  out.allow = rule.allow;
  if (rule.type.empty() || rule.type == "a")
    out.type = 'a';
  else if (rule.type == "c" || rule.type == "u")
    out.type = 'c';
  else if (rule.type == "b")
    out.type = 'b';
  else
    return fail(ErrorKind::invalid, "\"{}\" is not a type of device (a, c or b)", rule.type);
  out.major = TRY(device_number(rule.major));
  out.minor = TRY(device_number(rule.minor));
  if (!rule.access.empty()) {
    out.read = out.write = out.make = false;
    for (char c : rule.access) {
      if (c == 'r')
        out.read = true;
      else if (c == 'w')
        out.write = true;
      else if (c == 'm')
        out.make = true;
      else
        return fail(ErrorKind::invalid, "\"{}\" is not an access to a device (of r, w and m)", rule.access);
    }
  }
  return out;
}

bool covers_everything(const DevicePermission& rule) {
  return rule.type == 'a' && rule.major < 0 && rule.minor < 0 && rule.read && rule.write && rule.make;
}

constexpr DevicePermission allowed(char type, int major, int minor, bool use = true) {
  return {true, type, major, minor, use, use, true};
}

constexpr DevicePermission kAlways[] = {
    allowed('c', -1, -1, false), allowed('b', -1, -1, false),  // mknod of anything, without its use
    allowed('c', 1, 3),          allowed('c', 1, 8),           // null, random
    allowed('c', 1, 7),          allowed('c', 5, 0),           // full, tty
    allowed('c', 1, 5),          allowed('c', 1, 9),           // zero, urandom
    allowed('c', 136, -1),       allowed('c', 5, 2),           // terminals, ptmx
};

bpf_insn instruction(unsigned code, unsigned to, unsigned from, int offset, int value) {
  bpf_insn out{};
  out.code = static_cast<__u8>(code);
  out.dst_reg = to & 0xf;
  out.src_reg = from & 0xf;
  out.off = static_cast<__s16>(offset);
  out.imm = value;
  return out;
}

// Registers: 1 the context, then 2 the type, 3 the access, 4 major, 5 minor; 6 scratch.
void emit_rule(std::vector<bpf_insn>& out, const DevicePermission& rule) {
  std::vector<bpf_insn> tests;  // jumps whose offset is patched to the end of the rule
  auto unless_equal = [&](unsigned reg, int value) {
    tests.push_back(instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, value));
  };
  if (rule.type != 'a') unless_equal(2, rule.type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
  int access = (rule.read ? BPF_DEVCG_ACC_READ : 0) | (rule.write ? BPF_DEVCG_ACC_WRITE : 0) |
               (rule.make ? BPF_DEVCG_ACC_MKNOD : 0);
  if (access != (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)) {
    tests.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_X, 6, 3, 0, 0));
    if (rule.allow) {  // an allowance must cover all of what is asked ...
      tests.push_back(instruction(BPF_ALU64 | BPF_AND | BPF_K, 6, 0, 0, ~access & 7));
      unless_equal(6, 0);
    } else {  // ... a refusal any of it
      tests.push_back(instruction(BPF_ALU64 | BPF_AND | BPF_K, 6, 0, 0, access));
      tests.push_back(instruction(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 0, 0));
    }
  }
  if (rule.major >= 0) unless_equal(4, rule.major);
  if (rule.minor >= 0) unless_equal(5, rule.minor);
  std::size_t length = tests.size() + 2;
  for (std::size_t i = 0; i < tests.size(); ++i) {
    if (BPF_CLASS(tests[i].code) == BPF_JMP) tests[i].off = static_cast<__s16>(length - i - 1);
    out.push_back(tests[i]);
  }
  out.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, rule.allow ? 1 : 0));
  out.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

}  // namespace

Result<std::vector<DevicePermission>> effective_device_permissions(
    const std::vector<oci::DeviceRule>& rules) {
  std::vector<DevicePermission> out = {{false, 'a', -1, -1, true, true, true}};
  for (const oci::DeviceRule& rule : rules) {
    DevicePermission permission = TRY(permission_of(rule));
    if (covers_everything(permission)) out.clear();
    out.push_back(permission);
  }
  if (out.size() == 1 && out[0].allow) return out;
  // Each rule is a write on v1 and a few instructions in the v2 program: what is allowed last is not also
  // allowed before.
  std::erase_if(out, [](const DevicePermission& one) {
    return std::find(std::begin(kAlways), std::end(kAlways), one) != std::end(kAlways);
  });
  out.insert(out.end(), std::begin(kAlways), std::end(kAlways));
  return out;
}

std::string to_v1_rule(const DevicePermission& rule) {
  if (covers_everything(rule)) return "a";
  auto number = [](int value) { return value < 0 ? std::string("*") : std::to_string(value); };
  std::string access;
  if (rule.read) access += 'r';
  if (rule.write) access += 'w';
  if (rule.make) access += 'm';
  return fmt::format("{} {}:{} {}", rule.type, number(rule.major), number(rule.minor), access);
}

std::vector<bpf_insn> compile_device_filter(const std::vector<DevicePermission>& permissions) {
  std::vector<bpf_insn> out = {
      instruction(BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0),         // access_type
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0),       // its upper half is the access,
      instruction(BPF_ALU64 | BPF_RSH | BPF_K, 3, 0, 0, 16),      //
      instruction(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff),  // its lower the type
      instruction(BPF_LDX | BPF_W | BPF_MEM, 4, 1, 4, 0),         // major
      instruction(BPF_LDX | BPF_W | BPF_MEM, 5, 1, 8, 0),         // minor
  };
  for (auto rule = permissions.rbegin(); rule != permissions.rend(); ++rule) {
    emit_rule(out, *rule);
    if (covers_everything(*rule)) return out;  // what follows could not be reached, and the verifier minds
  }
  out.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0));
  out.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return out;
}

Result<void> attach_device_filter(int cgroup_directory, const std::vector<DevicePermission>& permissions) {
  std::vector<bpf_insn> program = compile_device_filter(permissions);
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<__u64>(program.data());
  load.insn_cnt = static_cast<__u32>(program.size());
  load.license = reinterpret_cast<__u64>("Apache-2.0");
  Fd loaded(bpf(BPF_PROG_LOAD, load));
  if (!loaded) return fail_errno(errno, "cannot load the device filter");

  // Programs of an earlier update are found and detached after the new one is in place: all attached ones
  // must agree, so in between the stricter of both holds, and never none.
  __u32 earlier[64] = {};
  bpf_attr query{};
  query.query.target_fd = static_cast<__u32>(cgroup_directory);
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = reinterpret_cast<__u64>(earlier);
  query.query.prog_cnt = 64;
  bool known = bpf(BPF_PROG_QUERY, query) == 0;

  bpf_attr attach{};
  attach.target_fd = static_cast<__u32>(cgroup_directory);
  attach.attach_bpf_fd = static_cast<__u32>(loaded.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (bpf(BPF_PROG_ATTACH, attach) != 0) return fail_errno(errno, "cannot attach the device filter");

  for (__u32 i = 0; known && i < query.query.prog_cnt && i < 64; ++i) {
    bpf_attr find{};
    find.prog_id = earlier[i];
    Fd old(bpf(BPF_PROG_GET_FD_BY_ID, find));
    if (!old) continue;
    bpf_attr detach{};
    detach.target_fd = static_cast<__u32>(cgroup_directory);
    detach.attach_bpf_fd = static_cast<__u32>(old.get());
    detach.attach_type = BPF_CGROUP_DEVICE;
    if (bpf(BPF_PROG_DETACH, detach) != 0) return fail_errno(errno, "cannot detach the former device filter");
  }
  return {};
}

}  // namespace berth::sys
