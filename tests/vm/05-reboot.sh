#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The machine is shut down in order, then the power goes: each time what was to be restarted is there again after the
# boot, with its addresses, ports and names, started by an engine that is a unit of systemd.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
vm=$here/vm
name=reboot-$$
failed=0 passed=0
inside=(/berth/tests/vm/inside/reboot)

step() { # title command...
  local title=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok   $title"
  else
    failed=$((failed + 1))
    echo "FAIL $title"
  fi
}
in_machine() { "$vm" exec --timeout 400 "$name" "$@"; }
again() { "$vm" start "$name" --add "$here/../../dist/systemd=systemd" >/dev/null; }

trap '"$vm" destroy "$name" >/dev/null 2>&1 || true' EXIT
"$vm" boot "$name" --add "$here/../../dist/systemd=systemd" >/dev/null
step "containers run under an engine that systemd starts" in_machine "${inside[@]}" begin
"$vm" off "$name"
again
step "after a shutdown they are back" in_machine "${inside[@]}" verify
"$vm" cut "$name"
again
step "after the power went they are back" in_machine "${inside[@]}" verify
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
