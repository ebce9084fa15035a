#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Attacks from inside a container and through the API. Every one has a goal on this machine; none may reach it.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

secret=$work/secret # what attackers want to read or overwrite
untouched() { is "secret of the host" "$(cat "$secret/file")"; is file "$(ls -A "$secret")"; }
inside() { b run --rm box sh -c "$1"; }

# --- copying through links ---

cp_links() {
  b run -d --name links box sh -c "ln -s $secret /tmp/out; ln -s $secret/file /tmp/leak; ln -s /tmp/out/new /tmp/new
    rm -rf /home; ln -s ../../../../../../../..$secret /home; sleep 1000"
  eventually 5 b exec links test -h /home
  printf 'attack' >"$work/payload"
  b cp "$work/payload" links:/tmp/out/file || true
  b cp "$work/payload" links:/tmp/leak || true
  b cp "$work/payload" links:/tmp/new || true
  b cp "$work/payload" links:/home/file || true
  tar -C "$work" -c payload | b cp - links:/home || true
  untouched
  b cp links:/tmp/out/file - >"$work/got.tar" 2>/dev/null || true
  fails grep -q 'secret of the host' "$work/got.tar"
  mkdir -p "$work/got"
  b cp -L links:/tmp/leak "$work/got/leak" || true
  b cp -L links:/home "$work/got/home" || true
  b cp links:/tmp/. "$work/got/tmp" || true
  lacks "$(find "$work/got" -type f -exec cat {} +)" 'secret of the host'
  b rm -f links
}

cp_race() { # a directory that becomes a link while one copies into it
  b run -d --name race box sh -c "mkdir /tmp/d; ln -s $secret /tmp/l; while :; do mv /tmp/d /tmp/x; mv /tmp/l /tmp/d; mv /tmp/d /tmp/l; mv /tmp/x /tmp/d; done"
  printf attack >"$work/file"
  local _
  for _ in {1..30}; do b cp "$work/file" race:/tmp/d/file >/dev/null 2>&1 || true; done
  b rm -f race
  untouched
}

# --- images whose directories are links ---

hostile_image() { # name, shell commands in a copy of the image's tree
  rm -rf "$work/tree"
  cp -a "$work/image" "$work/tree"
  (cd "$work/tree" && eval "$2")
  tar -C "$work/tree" -c . | b import -c 'CMD ["sh"]' - "$1" >/dev/null
}
proc_is_a_link() {
  hostile_image link-proc "rmdir proc; ln -s $secret proc"
  b run --rm link-proc cat /proc/self/status || true # refused, or a real proc; both are right
  untouched
}
etc_is_a_link() { # hosts, resolv.conf and hostname are mounted there
  hostile_image link-etc "rm -rf etc; ln -s $secret etc"
  b run --rm link-etc /bin/true || true
  untouched
  hostile_image link-hosts "ln -s $secret/file etc/hosts; ln -s ../../../../../..$secret/new etc/resolv.conf; ln -s /proc/sysrq-trigger etc/hostname"
  b run --rm link-hosts /bin/true || true
  untouched
}
dev_is_a_link() {
  hostile_image link-dev "rmdir dev; ln -s $secret dev"
  b run --rm link-dev /bin/true || true
  b run --rm -t link-dev /bin/true || true
  untouched
}
mount_target_is_a_link() {
  hostile_image link-target "ln -s $secret data; ln -s ../../../../../../..$secret up"
  mkdir -p "$work/volume"
  echo mine >"$work/volume/file"
  b run --rm -v "$work/volume:/data" -v "$work/volume:/up" link-target sh -c 'echo attack >/data/file' || true
  b run --rm --tmpfs /data link-target sh -c 'echo attack >/data/file' || true
  b run --rm -v named:/data link-target sh -c 'echo attack >/data/file' || true
  b run --rm -w /data/made link-target true || true
  b volume rm -f named || true
  untouched
  fails grep -q "$secret" /proc/mounts
}
passwd_is_a_link() {
  hostile_image link-passwd "rm etc/passwd; ln -s $secret/passwd etc/passwd"
  echo 'mallory:x:0:0::/:/bin/sh' >"$work/passwd.saved"
  lacks "$(b run --rm -u mallory link-passwd id 2>&1 || true)" 'uid=0'
  untouched
}

# --- what a process inside has and sees ---

no_descriptors() {
  is "0 1 2" "$(inside 'ls /proc/self/fd' | sort -n | head -n 3 | xargs)"
  at_most 4 "$(inside 'ls /proc/self/fd' | wc -l)" "descriptors" # ls opens the directory
  b run -d --name descriptors box sleep 1000
  is "0 1 2" "$(b exec descriptors sh -c 'ls /proc/1/fd' | xargs)" "descriptors of process 1"
  is "0 1 2 3" "$(b exec descriptors ls /proc/self/fd | xargs)" "descriptors of an exec, and the directory that ls reads"
  lacks "$(b exec descriptors ls -l /proc/1/fd)" "$work"
  b rm -f descriptors
}
no_host_paths() { # neither the environment nor the mount table names more of the host than it must
  lacks "$(inside 'cat /proc/self/environ | tr "\\0" "\\n"')" "$work"
  lacks "$(inside 'cat /proc/self/mountinfo' | sed 's/lowerdir.*//')" "$work/main/run"
  is / "$(inside 'readlink /proc/self/cwd')"
}
workdir_is_a_descriptor() { # the leaked descriptor as a working directory
  local number out
  for number in 3 4 5 6 7 8 9 10; do
    out=$(b run --rm -w "/proc/self/fd/$number" box sh -c 'cat ../../../../../../../../'"$secret"'/file; pwd' 2>&1) || true
    lacks "$out" 'secret of the host'
  done
  b run -d --name fds box sleep 1000
  for number in 3 4 5 6 7 8 9 10; do
    out=$(b exec -w "/proc/self/fd/$number" fds sh -c 'cat ../../../../../../../../'"$secret"'/file' 2>&1) || true
    lacks "$out" 'secret of the host'
  done
  b rm -f fds
}
program_is_proc_self_exe() { # makes the engine's own program run inside, to be overwritten
  local before
  before=$(sha256sum "$BERTH_BIN/berth-keeper" "$BERTH_BIN/berth-init" "$BERTH_BIN/berthd")
  b run --rm box /proc/self/exe || true
  b run -d --name self box sh -c 'ln -s /proc/self/exe /tmp/me; sleep 1000'
  b exec self /proc/self/exe || true
  b exec self /tmp/me || true
  # While somebody enters again and again, the container writes to every program it can see.
  b exec -d self sh -c 'while :; do for p in /proc/[0-9]*; do case $(readlink $p/exe) in /bin/*) ;; *) echo x >>$p/exe;; esac; done; done 2>/dev/null'
  local _
  for _ in {1..20}; do b exec self true; done
  b rm -f self
  is "$before" "$(sha256sum "$BERTH_BIN/berth-keeper" "$BERTH_BIN/berth-init" "$BERTH_BIN/berthd")" "programs on disk"
  b run --rm --init box sh -c 'echo x >>/proc/1/exe' || true
  is "$before" "$(sha256sum "$BERTH_BIN/berth-keeper" "$BERTH_BIN/berth-init" "$BERTH_BIN/berthd")" "programs on disk"
}

masked() {
  local path
  for path in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do
    is "" "$(inside "cat $path 2>/dev/null | head -c 10")" "$path"
  done
  for path in /proc/acpi /proc/scsi /sys/firmware; do is "" "$(inside "ls -A $path 2>/dev/null")" "$path"; done
  inside 'umount /proc/kcore' && return 1
  inside 'mount -t tmpfs none /tmp' && return 1
  inside 'mount -o remount,rw /sys' && return 1
  is "" "$(inside 'cat /proc/1/mountinfo' | grep " / /proc/kcore" || true)"
}
not_writable() {
  local path
  for path in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/kernel/hostname \
    /proc/sys/vm/panic_on_oom /proc/sys/net/ipv4/ip_forward /sys/kernel/uevent_helper /proc/irq/default_smp_affinity; do
    if inside "[ -e $path ] && echo 1 >$path"; then
      echo "$path can be written"
      return 1
    fi
  done
  inside 'hostname changed' && return 1
  inside 'find /sys -maxdepth 4 -type f 2>/dev/null | while read -r f; do { true >>"$f"; } 2>/dev/null && echo "$f"; done; true' >"$work/writable"
  is "" "$(head -n 3 "$work/writable")" "writable files in /sys"
}
cgroups_read_only() {
  lacks "$(inside 'mkdir /sys/fs/cgroup/escape /sys/fs/cgroup/memory/escape /sys/fs/cgroup/pids/escape && echo made' 2>&1 || true)" made
  is "" "$(inside 'find /sys/fs/cgroup -name release_agent' || true)" "release_agent in sight"
  inside 'for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo 1 >$f && exit 1; done; exit 0'
  lacks "$(inside 'cat /proc/self/cgroup')" "$groups" # a control group namespace of its own
}
devices() {
  inside 'mknod /tmp/disk b 259 0 && cat /tmp/disk >/dev/null' && return 1
  inside 'mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk' && return 1
  inside 'mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem' && return 1
  inside 'mknod /tmp/kmsg c 1 11 && echo attack >/tmp/kmsg' && return 1
  inside 'mknod /tmp/null c 1 3 && echo x >/tmp/null' # this one is allowed
  is "" "$(inside 'find /dev -type b')" "block devices"
}
capabilities() {
  is 00000000a80425fb "$(inside 'sed -n "s/CapEff:.//p" /proc/self/status')" "effective capabilities"
  is 00000000a80425fb "$(inside 'sed -n "s/CapBnd:.//p" /proc/self/status')" "bounding set"
  is "0000000000000000 0000000000000000" "$(inside 'sed -n "s/Cap\(Inh\|Amb\):.//p" /proc/self/status' | xargs)" "inheritable, ambient"
  is 0000000000000000 "$(b run --rm -u alice box sed -n 's/CapEff:.//p' /proc/self/status)" "alice's"
  is 0000000000000000 "$(b run --rm --cap-drop ALL box sed -n 's/CapEff:.//p' /proc/self/status)" "after --cap-drop ALL"
  b run -d --name capable -u alice box sleep 1000
  is 0000000000000000 "$(b exec capable sed -n 's/CapEff:.//p' /proc/self/status)" "alice's in an exec"
  is 2 "$(b exec capable sed -n 's/Seccomp:.//p' /proc/self/status)" "an exec's filter"
  b rm -f capable
}
other_processes() { # those of the host, and other containers', are out of sight and reach
  inside 'kill -0 2 2>/dev/null' && return 1
  at_most 4 "$(inside 'ls -d /proc/[0-9]* | wc -l')" "processes in sight"
  b run -d --name neighbour box sleep 1000
  is "" "$(inside 'grep -l neighbour /proc/[0-9]*/environ 2>/dev/null || true')"
  b rm -f neighbour
}

# --- limits ---

fork_bomb() {
  b run -d --name bomb --pids-limit 50 box sh -c 'f() { f | f & }; f; while :; do sleep 1; done'
  sleep 1.5
  local pids
  pids=$(cat "/sys/fs/cgroup/pids/$groups/main/$(b inspect -f '{{.Id}}' bomb)/pids.current" 2>/dev/null ||
    cat "/sys/fs/cgroup/$groups/main/$(b inspect -f '{{.Id}}' bomb)/pids.current")
  at_most 50 "$pids" "processes"
  b run --rm box true # the others live on
  LIMIT=20 b rm -f bomb
}
memory() {
  exits 137 b run --name eater -m 32m --memory-swap 32m box sh -c 'exec tail -c 200000000 /dev/zero'
  is true "$(b inspect -f '{{.State.OOMKilled}}' eater)" "OOMKilled"
  b rm eater
}
full_shm() { # /dev/shm has its limit
  inside 'dd if=/dev/zero of=/dev/shm/x bs=1M count=100' && return 1
  return 0
}

# --- system calls, by a program of our own ---

build_probe() {
  command -v gcc >/dev/null || skip "gcc is not installed"
  cat >"$work/probe.c" <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef AF_ALG
#define AF_ALG 38
#endif
#define TRY(name, call) \
  if (argc > 1 && !strcmp(argv[1], name)) { \
    errno = 0; \
    long result = (long)(call); \
    printf("%s\n", result >= 0 ? "allowed" : errno == EPERM || errno == ENOSYS || errno == EACCES || errno == EAFNOSUPPORT ? "denied" : strerror(errno)); \
    return 0; \
  }
static char zero[4096];
static long call32(long number, long first, long second, long third) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory", "r8", "r9", "r10", "r11");
  if (result < 0) { errno = (int)-result; return -1; }
  return result;
}
int main(int argc, char** argv) {
  TRY("getpid", syscall(SYS_getpid))
  TRY("af_alg", socket(AF_ALG, SOCK_SEQPACKET, 0))
  TRY("vsock", socket(40, SOCK_STREAM, 0))
  TRY("io_uring", syscall(425, 4, zero))
  TRY("userfaultfd", syscall(SYS_userfaultfd, 0))
  TRY("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1))
  TRY("add_key", syscall(SYS_add_key, "user", "x", "y", 1, KEY_SPEC_PROCESS_KEYRING))
  TRY("bpf", syscall(SYS_bpf, 0, zero, 64))
  TRY("perf_event_open", syscall(SYS_perf_event_open, zero, 0, -1, -1, 0))
  TRY("unshare_user", unshare(CLONE_NEWUSER))
  TRY("unshare_mount", unshare(CLONE_NEWNS))
  TRY("mount", mount("none", "/tmp", "tmpfs", 0, 0))
  TRY("fsopen", syscall(430, "tmpfs", 0))
  TRY("open_tree", syscall(428, -100, "/", 1))
  TRY("move_mount", syscall(429, -100, "/tmp", -100, "/home", 0))
  TRY("setns", setns(open("/proc/self/ns/mnt", O_RDONLY), 0))
  TRY("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0))
  TRY("init_module", syscall(SYS_init_module, zero, 0, ""))
  TRY("finit_module", syscall(SYS_finit_module, 0, "", 0))
  TRY("kexec", syscall(SYS_kexec_load, 0, 0, 0, 0))
  TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, zero, 0))
  TRY("swapon", syscall(SYS_swapon, "/tmp", 0))
  TRY("acct", syscall(SYS_acct, 0))
  TRY("settimeofday", syscall(SYS_settimeofday, zero, 0))
  TRY("iopl", syscall(SYS_iopl, 3))
  TRY("quotactl", syscall(SYS_quotactl, 0, 0, 0, 0))
  TRY("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"))
  TRY("ptrace_init", ptrace(PTRACE_ATTACH, atoi(argc > 2 ? argv[2] : "1"), 0, 0))
  TRY("tiocsti", ioctl(0, TIOCSTI, "x"))
  TRY("clone3_user", syscall(435, (long[11]){CLONE_NEWUSER}, 88))
  TRY("getpid32", call32(20, 0, 0, 0))
  TRY("mount32", call32(21, (long)zero, (long)zero, (long)zero))
  TRY("keyctl32", call32(288, 0, -3, 1))
  TRY("add_key32", call32(286, 0, 0, 0))
  TRY("setuid0", setuid(0) == 0 && getuid() == 0 ? 0 : (errno = EPERM, -1))
  printf("unknown\n");
  return 1;
}
C
  gcc -static -O1 -w -o "$work/probe" "$work/probe.c"
}
probe() { b run --rm -v "$work/probe:/probe:ro" "${FLAGS[@]}" box /probe "$@"; }
denied() {
  local FLAGS=() call
  [ -x "$work/probe" ] || skip "there is no probe"
  is allowed "$(probe getpid)" "getpid" # the probe itself works
  for call in "$@"; do is denied "$(probe "$call")" "$call"; done
}
denied32() { # some virtual machines fault at the instruction itself, on the host as well: then there is nothing to deny
  [ ! -x "$work/probe" ] || [ "$("$work/probe" getpid32 2>/dev/null)" = allowed ] || skip "this machine has no 32-bit system calls"
  denied "$@"
}
probe_sees_the_difference() { # what is denied above is there without the filter, or the cases above would prove little
  [ -x "$work/probe" ] || skip "there is no probe"
  local FLAGS=(--privileged --security-opt seccomp=unconfined) call missing=
  for call in af_alg io_uring userfaultfd keyctl add_key unshare_user unshare_mount fsopen clone3_user; do
    [ "$(probe "$call")" = allowed ] || missing+=" $call"
  done
  [ -z "$missing" ] || echo "this kernel lacks:$missing"
  [ "$(wc -w <<<"$missing")" -le 3 ]
}
setuid_program() { # with no-new-privileges a set-user-id program gives nothing
  [ -x "$work/probe" ] || skip "there is no probe"
  cp "$work/probe" "$work/image/bin/setuid-probe"
  chmod 4755 "$work/image/bin/setuid-probe"
  image_make setuid
  is allowed "$(b run --rm -u alice setuid setuid-probe setuid0)" "without"
  is denied "$(b run --rm -u alice --security-opt no-new-privileges setuid setuid-probe setuid0)" "with no-new-privileges"
}
ptrace_host() { # with the host's processes in sight, too
  [ -x "$work/probe" ] || skip "there is no probe"
  sleep 1000 &
  local victim=$! FLAGS=(--pid host)
  is denied "$(probe ptrace_init "$victim")" || { kill $victim; return 1; }
  kill $victim
}

# --- through the API ---

socket_mode() {
  case $(stat -c %a "$work/main/berth.sock") in 6?0) ;; *) stat "$work/main/berth.sock"; return 1 ;; esac
  local directory
  for directory in "$work"/main/run/containers "$work"/main/data/containers "$work"/main/data/layers; do
    case $(stat -c %a "$directory") in 7?0) ;; *) echo "$directory: $(stat -c %a "$directory")"; return 1 ;; esac
  done
}
labels_are_only_labels() { # of an image: nothing in them becomes a flag
  tar -C "$work/image" -c . | b import -c 'LABEL io.berth.privileged=true' -c 'LABEL com.docker.security=privileged' \
    -c 'ENV LD_PRELOAD=/evil.so' -c 'VOLUME ../../../../../../..'"$secret" - labelled || return 0
  is 00000000a80425fb "$(b run --rm labelled sed -n 's/CapEff:.//p' /proc/self/status 2>/dev/null || echo 00000000a80425fb)"
  untouched
}

mkdir "$secret"
echo "secret of the host" >"$secret/file"
engine_start main || exit 1
image_make
case_of "cp does not follow links out" cp_links
case_of "cp while directories become links" cp_race
case_of "an image whose /proc is a link" proc_is_a_link
case_of "an image whose /etc is a link" etc_is_a_link
case_of "an image whose /dev is a link" dev_is_a_link
case_of "mount targets that are links" mount_target_is_a_link
case_of "an image whose passwd is a link" passwd_is_a_link
case_of "no descriptors are inherited" no_descriptors
case_of "no paths of the host" no_host_paths
case_of "a descriptor as working directory" workdir_is_a_descriptor
case_of "programs cannot be overwritten through /proc/self/exe" program_is_proc_self_exe
case_of "masked paths" masked
case_of "kernel settings cannot be written" not_writable
case_of "control groups are read-only" cgroups_read_only
case_of "devices of the host cannot be opened" devices
case_of "capabilities" capabilities
case_of "other processes" other_processes
case_of "a fork bomb stays within its limit" fork_bomb
case_of "memory stays within its limit" memory
case_of "/dev/shm stays within its limit" full_shm
case_of "a static program can be built" build_probe
case_of "sockets of rare families" denied af_alg vsock
case_of "io_uring, userfaultfd, keys, bpf, perf" denied io_uring userfaultfd keyctl add_key bpf perf_event_open
case_of "namespaces and mounts" denied unshare_user unshare_mount mount fsopen open_tree move_mount setns clone3_user pivot_root
case_of "the machine itself" denied reboot init_module finit_module kexec open_by_handle_at swapon acct settimeofday iopl quotactl
case_of "32-bit system calls" denied32 mount32 keyctl32 add_key32
case_of "without the filter these calls are there" probe_sees_the_difference
case_of "no-new-privileges" setuid_program
case_of "ptrace of the host's processes" ptrace_host
case_of "modes of sockets and directories" socket_mode
case_of "an image's labels and volumes" labels_are_only_labels
finish
