// SPDX-License-Identifier: Apache-2.0
#include "sys/seccomp.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "oci/runtime_spec.h"
#include "sys/seccomp_numbers.h"

namespace berth::sys {
namespace {

// What the kernel does with a program, checked as strictly as it checks it.
std::uint32_t interpret(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0, steps = 0; at < program.size() && steps < 4096; ++at, ++steps) {
    const sock_filter& one = program[at];
    switch (one.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (one.k % 4 != 0 || one.k + 4 > sizeof data) return 0xdead0001;
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + one.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= one.k;
        break;
      case BPF_JMP | BPF_JA:
        at += one.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += accumulator == one.k ? one.jt : one.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        at += accumulator > one.k ? one.jt : one.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += accumulator >= one.k ? one.jt : one.jf;
        break;
      case BPF_RET | BPF_K:
        return one.k;
      default:
        return 0xdead0002;
    }
  }
  return 0xdead0003;  // ran off the end
}

struct Call {
  std::uint32_t arch = AUDIT_ARCH_X86_64;
  std::uint32_t number = 0;
  std::uint64_t args[6] = {};
};

std::uint32_t ask(const SeccompProgram& program, const Call& call) {
  seccomp_data data{};
  data.arch = call.arch;
  data.nr = static_cast<int>(call.number);
  std::memcpy(data.args, call.args, sizeof data.args);
  return interpret(program.instructions, data);
}

SeccompProgram compiled(const oci::LinuxSeccomp& policy) {
  Result<SeccompProgram> program = compile_seccomp(policy);
  EXPECT_TRUE(program) << program.error().message;
  return program ? std::move(*program) : SeccompProgram{};
}

constexpr std::uint32_t refused(int code) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(code); }
constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;

#if defined(__x86_64__)

TEST(DefaultSeccomp, TreeAgreesWithThePolicyOnEveryNumber) {
  oci::LinuxSeccomp policy = default_seccomp({});
  SeccompProgram program = compiled(policy);
  EXPECT_LT(program.unknown.size(), 20u);  // calls of other machines
  for (const char* name : {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}) {
    const Architecture& arch = *architecture_by_name(name);
    std::map<std::uint32_t, bool> plain;  // number -> its rule has no conditions
    std::uint32_t highest = 0;
    for (const oci::SeccompRule& rule : policy.syscalls)
      for (const std::string& call : rule.names)
        if (std::optional<std::uint32_t> number = call_number(arch, call)) {
          highest = std::max(highest, *number);
          bool simple = rule.args.empty() && rule.action == "SCMP_ACT_ALLOW";
          plain.try_emplace(*number, true).first->second &= simple;
        }
    for (std::uint32_t number = 0; number < 1000; ++number) {
      auto found = plain.find(number);
      if (found != plain.end() && !found->second) continue;  // the tests below look at these
      std::uint32_t expected = found != plain.end() ? kAllow
                               : number > highest   ? refused(ENOSYS)
                                                    : refused(EPERM);
      EXPECT_EQ(ask(program, {arch.audit, number, {}}), expected) << name << " " << number;
    }
  }
}

TEST(DefaultSeccomp, IsASmallTree) {
  SeccompProgram program = compiled(default_seccomp({}));
  RecordProperty("instructions", static_cast<int>(program.instructions.size()));
  EXPECT_LT(program.instructions.size(), 270u);
}

TEST(DefaultSeccomp, ForeignWaysToCallAreClosed) {
  SeccompProgram program = compiled(default_seccomp({}));
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, 0x40000000u | SYS_read, {}}), refused(ENOSYS));  // x32
  EXPECT_EQ(ask(program, {AUDIT_ARCH_AARCH64, 63, {}}), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, 0xffffffff, {}}), refused(ENOSYS));
}

TEST(DefaultSeccomp, NewNamespacesNeedSysAdmin) {
  SeccompProgram plain = compiled(default_seccomp({}));
  SeccompProgram admin = compiled(default_seccomp({"CAP_SYS_ADMIN"}));
  for (std::uint64_t flag : {0x10000000ull, 0x20000ull, 0x40000000ull, 0x02000000ull}) {
    EXPECT_EQ(ask(plain, {AUDIT_ARCH_X86_64, SYS_clone, {flag | 17}}), refused(EPERM)) << flag;
    EXPECT_EQ(ask(plain, {AUDIT_ARCH_I386, 120, {flag | 17}}), refused(EPERM)) << flag;
    EXPECT_EQ(ask(admin, {AUDIT_ARCH_X86_64, SYS_clone, {flag | 17}}), kAllow) << flag;
  }
  EXPECT_EQ(ask(plain, {AUDIT_ARCH_X86_64, SYS_clone, {17}}), kAllow);
  EXPECT_EQ(ask(plain, {AUDIT_ARCH_X86_64, SYS_clone3, {}}), refused(ENOSYS));
  EXPECT_EQ(ask(admin, {AUDIT_ARCH_X86_64, SYS_clone3, {}}), kAllow);
  for (long call : {SYS_unshare, SYS_setns, SYS_mount, SYS_move_mount, SYS_fsopen, SYS_bpf}) {
    EXPECT_EQ(ask(plain, {AUDIT_ARCH_X86_64, static_cast<std::uint32_t>(call), {}}), refused(EPERM)) << call;
    EXPECT_EQ(ask(admin, {AUDIT_ARCH_X86_64, static_cast<std::uint32_t>(call), {}}), kAllow) << call;
  }
}

TEST(DefaultSeccomp, DangerousCallsAreRefusedEvenToSysAdmin) {
  SeccompProgram admin = compiled(default_seccomp({"CAP_SYS_ADMIN"}));
  for (long call : {SYS_io_uring_setup, SYS_io_uring_enter, SYS_userfaultfd, SYS_keyctl, SYS_add_key,
                    SYS_kexec_load, SYS_init_module, SYS_swapon})
    EXPECT_EQ(ask(admin, {AUDIT_ARCH_X86_64, static_cast<std::uint32_t>(call), {}}), refused(EPERM)) << call;
  EXPECT_EQ(ask(admin, {AUDIT_ARCH_I386, 425, {}}), refused(EPERM));  // io_uring_setup
  EXPECT_EQ(ask(admin, {AUDIT_ARCH_I386, 374, {}}), refused(EPERM));  // userfaultfd
}

// The kernel takes a socket's domain as an int: what a program puts above bit 31 is dropped after the filter.
TEST(DefaultSeccomp, AddressFamiliesCannotBeSmuggledInTheUpperHalf) {
  SeccompProgram program = compiled(default_seccomp({}));
  for (std::uint64_t family : {38ull, 40ull})
    for (std::uint64_t upper : {0ull, 1ull << 32, 0xffffffffull << 32}) {
      EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_socket, {upper | family}}), refused(EPERM)) << family;
      EXPECT_EQ(ask(program, {AUDIT_ARCH_I386, 359, {upper | family}}), refused(EPERM)) << family;
    }
  for (std::uint64_t family : {1ull, 2ull, 10ull, 16ull, 17ull, 37ull, 39ull, 41ull})
    EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_socket, {family}}), kAllow) << family;
  EXPECT_EQ(ask(program, {AUDIT_ARCH_I386, 102, {1}}), refused(EPERM));  // socketcall(SYS_SOCKET)
  EXPECT_EQ(ask(program, {AUDIT_ARCH_I386, 102, {3}}), kAllow);          // socketcall(SYS_CONNECT)
}

TEST(DefaultSeccomp, PersonalitiesAreTheHarmlessOnes) {
  SeccompProgram program = compiled(default_seccomp({}));
  auto persona = [&](std::uint64_t value) {
    return ask(program, {AUDIT_ARCH_X86_64, SYS_personality, {value}});
  };
  for (std::uint64_t good : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull})
    EXPECT_EQ(persona(good), kAllow);
  for (std::uint64_t bad : {0x40000ull, 0x1ull, 0x9ull, 0x100000000ull, 0x100000008ull})
    EXPECT_EQ(persona(bad), refused(EPERM)) << bad;
}

oci::LinuxSeccomp one_rule(const char* op, std::uint64_t value, std::uint64_t value_two = 0) {
  oci::LinuxSeccomp policy;
  policy.default_action = "SCMP_ACT_KILL_PROCESS";
  policy.syscalls.push_back({{"ioctl"}, "SCMP_ACT_ALLOW", {}, {{1, value, value_two, op}}});
  return policy;
}

TEST(Seccomp, ComparisonsAreMadeOnWhole64BitArguments) {
  const std::uint64_t values[] = {0,           1,           0x7fffffff, 0xffffffff, 0x100000000,
                                  0x100000001, 0x1ffffffff, ~0ull - 1,  ~0ull};
  auto allowed = [](const SeccompProgram& program, std::uint64_t argument) {
    return ask(program, {AUDIT_ARCH_X86_64, SYS_ioctl, {0, argument}}) == kAllow;
  };
  for (std::uint64_t limit : values) {
    SeccompProgram eq = compiled(one_rule("SCMP_CMP_EQ", limit)),
                   ne = compiled(one_rule("SCMP_CMP_NE", limit)),
                   lt = compiled(one_rule("SCMP_CMP_LT", limit)),
                   le = compiled(one_rule("SCMP_CMP_LE", limit)),
                   gt = compiled(one_rule("SCMP_CMP_GT", limit)),
                   ge = compiled(one_rule("SCMP_CMP_GE", limit)),
                   masked = compiled(one_rule("SCMP_CMP_MASKED_EQ", 0xff000000ffull, limit));
    for (std::uint64_t value : values) {
      EXPECT_EQ(allowed(eq, value), value == limit) << value << " " << limit;
      EXPECT_EQ(allowed(ne, value), value != limit) << value << " " << limit;
      EXPECT_EQ(allowed(lt, value), value < limit) << value << " " << limit;
      EXPECT_EQ(allowed(le, value), value <= limit) << value << " " << limit;
      EXPECT_EQ(allowed(gt, value), value > limit) << value << " " << limit;
      EXPECT_EQ(allowed(ge, value), value >= limit) << value << " " << limit;
      EXPECT_EQ(allowed(masked, value), (value & 0xff000000ffull) == (limit & 0xff000000ffull)) << value;
    }
  }
}

TEST(Seccomp, ConditionsOnDifferentArgumentsAreAllNeeded) {
  oci::LinuxSeccomp policy;
  policy.default_action = "SCMP_ACT_ERRNO";
  policy.syscalls.push_back(
      {{"ioctl"}, "SCMP_ACT_ALLOW", {}, {{0, 5, 0, "SCMP_CMP_EQ"}, {1, 7, 0, "SCMP_CMP_EQ"}}});
  SeccompProgram program = compiled(policy);
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_ioctl, {5, 7}}), kAllow);
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_ioctl, {5, 8}}), refused(EPERM));
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_ioctl, {4, 7}}), refused(EPERM));
}

TEST(Seccomp, LongListsOfConditionsStayWithinJumps) {
  oci::LinuxSeccomp policy;
  policy.default_action = "SCMP_ACT_ERRNO";
  policy.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  for (const char* call : {"ioctl", "fcntl", "prctl", "personality"})
    for (std::uint64_t value = 0; value < 60; ++value)
      policy.syscalls.push_back({{call}, "SCMP_ACT_ALLOW", {}, {{0, value * 3, 0, "SCMP_CMP_EQ"}}});
  policy.syscalls.push_back({{"read", "write", "mmap", "kexec_load"}, "SCMP_ACT_TRACE", 7, {}});
  SeccompProgram program = compiled(policy);
  for (std::uint64_t value = 0; value < 180; ++value) {
    std::uint32_t expected = value % 3 == 0 ? kAllow : refused(EPERM);
    EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_personality, {value}}), expected) << value;
    EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, 0x40000000u | SYS_prctl, {value}}), expected) << value;
    EXPECT_EQ(ask(program, {AUDIT_ARCH_I386, 55, {value}}), expected) << value;
  }
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_mmap, {}}), SECCOMP_RET_TRACE | 7u);
}

TEST(Seccomp, PoliciesThatCannotBeMetAreRefused) {
  oci::LinuxSeccomp policy;
  policy.default_action = "SCMP_ACT_PERMIT";
  EXPECT_FALSE(compile_seccomp(policy));
  policy.default_action = "SCMP_ACT_NOTIFY";
  EXPECT_FALSE(compile_seccomp(policy));
  policy.default_action = "SCMP_ACT_ALLOW";
  EXPECT_TRUE(compile_seccomp(policy));
  policy.syscalls.push_back({{"read"}, "SCMP_ACT_ALLOW", {}, {{6, 0, 0, "SCMP_CMP_EQ"}}});
  EXPECT_FALSE(compile_seccomp(policy));
  policy.syscalls.back().args[0] = {0, 0, 0, "SCMP_CMP_LIKE"};
  EXPECT_FALSE(compile_seccomp(policy));
}

TEST(Seccomp, DockerProfilesAreReadByCapabilityArchitectureAndKernel) {
  const char* text = R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
    "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]},
               {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
    "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
      {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
      {"names":["kexec_load"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"999.0"}},
      {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
      {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"excludes":{"caps":["CAP_SYS_ADMIN"]}},
      {"names":["arch_prctl"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64","x32"]}},
      {"names":["cacheflush"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm"]}}]})";
  Result<oci::LinuxSeccomp> plain = read_seccomp_profile(text, {});
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->architectures.size(), 3u);
  SeccompProgram program = compiled(*plain);
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_read, {}}), kAllow);
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_ptrace, {}}), kAllow);
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_arch_prctl, {}}), kAllow);
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_mount, {}}), refused(EPERM));
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_kexec_load, {}}), refused(EPERM));
  EXPECT_EQ(ask(program, {AUDIT_ARCH_X86_64, SYS_clone3, {}}), refused(ENOSYS));
  Result<oci::LinuxSeccomp> admin = read_seccomp_profile(text, {"CAP_SYS_ADMIN"});
  ASSERT_TRUE(admin);
  SeccompProgram wider = compiled(*admin);
  EXPECT_EQ(ask(wider, {AUDIT_ARCH_X86_64, SYS_mount, {}}), kAllow);
  EXPECT_EQ(ask(wider, {AUDIT_ARCH_X86_64, SYS_clone3, {}}), refused(ENOSYS));  // nobody allows it here
  EXPECT_FALSE(read_seccomp_profile("{}", {}));
  EXPECT_FALSE(read_seccomp_profile(R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":5}]})", {}));
}

#endif

// For real: a child under the default policy may do the ordinary and not the rest.
TEST(DefaultSeccomp, HoldsInTheKernel) {
  SeccompProgram program = compiled(default_seccomp({}));
  pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || load_seccomp(program) != 0) _exit(1);
    auto refused_with = [](long result, int code) { return result == -1 && errno == code; };
    if (getpid() <= 0) _exit(2);
    if (!refused_with(syscall(SYS_unshare, 0x10000000), EPERM)) _exit(3);
    if (!refused_with(syscall(SYS_clone3, nullptr, 0), ENOSYS)) _exit(4);
    if (!refused_with(socket(AF_ALG, SOCK_SEQPACKET, 0), EPERM)) _exit(5);
    if (!refused_with(syscall(SYS_socket, (1ul << 32) | AF_ALG, SOCK_SEQPACKET, 0), EPERM)) _exit(6);
    if (!refused_with(syscall(SYS_io_uring_setup, 1, nullptr), EPERM)) _exit(7);
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0) _exit(8);
    pid_t grandchild = fork();
    if (grandchild == 0) _exit(0);
    int status = 0;
    if (waitpid(grandchild, &status, 0) != grandchild || status != 0) _exit(9);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace berth::sys
