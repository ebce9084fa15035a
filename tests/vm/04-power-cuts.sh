#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The power goes in the middle of pulls, pushes and removals, again and again: after each restart the engine's store is
# sound, and what was answered with success is whole, at the engine and at the registry.
#
#   ROUNDS=20 tests/vm/04-power-cuts.sh
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
vm=$here/vm
name=cuts-$$
rounds=${ROUNDS:-20}
passed=0 failed=0
inside=(/berth/tests/vm/inside/power-cuts)

in_machine() { "$vm" exec --timeout "$1" "$name" "${@:2}"; }

trap '"$vm" destroy "$name" >/dev/null 2>&1 || true' EXIT
"$vm" boot "$name" >/dev/null
in_machine 300 "${inside[@]}" start
for ((round = 1; round <= rounds; round++)); do
  in_machine 30 sh -c "setsid ${inside[*]} work >/var/lib/cuts/work.log 2>&1 </dev/null & sleep 1"
  sleep $((RANDOM % 20 + 5)).$((RANDOM % 10))
  "$vm" cut "$name"
  "$vm" start "$name" >/dev/null
  if in_machine 300 "${inside[@]}" start && in_machine 1200 "${inside[@]}" verify; then
    passed=$((passed + 1))
    echo "ok   power cut $round"
  else
    failed=$((failed + 1))
    echo "FAIL power cut $round"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
