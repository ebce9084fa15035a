#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Does the virtual machine do what the tests in it rely on?
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
vm=$here/vm
name=selftest-$$
work=$(mktemp -d)
trap '"$vm" destroy $name; rm -rf "$work"' EXIT
passed=0 failed=0

check() { # name, command...
  local title=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok   $title"
  else
    failed=$((failed + 1))
    echo "FAIL $title"
    tail -n 5 "$work/log" | sed 's/^/     | /'
  fi
}
inside() { "$vm" exec --timeout 60 $name sh -ec "$1"; }

cat >"$work/script" <<'END'
#!/bin/sh
echo "argument $1, variable $COLOUR, user $(id -u)"
echo "and an error" >&2
exit 7
END
chmod +x "$work/script"
ran() {
  local code=0 output
  output=$("$vm" run --timeout 60 --env COLOUR=blue "$work/script" one) || code=$?
  echo "$output"
  [ $code = 7 ] && grep -qx 'argument one, variable blue, user 0' <<<"$output" && grep -q 'and an error' <<<"$output"
}
check "a script runs as root, and its output and exit code come back" ran
check "nothing is left of the machine that ran it" sh -c "! '$vm' list | grep ^run-"

check "a named machine boots" "$vm" boot $name
check "its control groups are v2, with controllers" inside '
  test "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs
  for controller in cpu memory pids io cpuset; do grep -qw $controller /sys/fs/cgroup/cgroup.controllers; done'
check "systemd is in charge, and content" inside '
  test "$(cat /proc/1/comm)" = systemd
  for i in $(seq 60); do state=$(systemctl is-system-running || true); test "$state" = running && exit 0; sleep 1; done
  systemctl --failed; exit 1'
check "there is no network but its own" inside 'test "$(ls /sys/class/net)" = lo'
check "overlay, veth, bridges and nft work" inside '
  mkdir -p /tmp/o/l /tmp/o/u /tmp/o/w /tmp/o/m; mount -t overlay o -o lowerdir=/tmp/o/l,upperdir=/tmp/o/u,workdir=/tmp/o/w /tmp/o/m; umount /tmp/o/m
  ip link add v0 type veth peer name v1; ip link add b0 type bridge; ip link set v0 master b0; ip link del v0; ip link del b0
  nft add table inet selftest; nft delete table inet selftest'
killed() { local code=0; "$vm" exec --timeout 2 $name sleep 30 || code=$?; [ $code = 124 ]; }
check "a command that takes too long is ended" killed
check "the machine still answers after that" inside true

check "what is synced survives a cut, and the rest does no harm" sh -ec "
  '$vm' exec $name sh -ec 'echo kept >/root/synced; sync /root/synced; sync
    head -c 30000000 /dev/urandom >/root/unsynced; echo lost >/root/unsynced-small; echo changed >/root/synced.new; mv /root/synced.new /root/other'
  '$vm' cut $name
  '$vm' list | grep -P '^$name\toff'
  '$vm' start $name
  '$vm' exec $name sh -ec 'test \"\$(cat /root/synced)\" = kept; ! dmesg | grep -q \"EXT4-fs error\"'"
check "what was not synced is really gone" inside 'test ! -s /root/unsynced-small'
check "it shuts down in order, and starts again" sh -ec "
  '$vm' exec $name sh -c 'echo in order >/root/unsynced-but-shut-down'
  '$vm' off $name
  '$vm' start --cgroup hybrid $name"
check "an orderly shutdown loses nothing" inside 'test "$(cat /root/unsynced-but-shut-down)" = "in order"'
check "the hybrid layout is there when asked for" inside '
  test "$(stat -fc %T /sys/fs/cgroup)" = tmpfs; test -d /sys/fs/cgroup/memory; test "$(stat -fc %T /sys/fs/cgroup/unified)" = cgroup2fs'

echo "$passed passed, $failed failed"
[ $failed = 0 ]
