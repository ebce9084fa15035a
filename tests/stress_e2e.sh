#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many containers at once: every one does what it was told, and afterwards nothing is left and nothing has grown.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

runs=${RUNS:-200} at_once=${AT_ONCE:-30}

# One of the mix, by its number. Says nothing when all is well.
one_run() { # number
  local number=$1 name=stress-$1 out status=0
  case $((number % 5)) in
    0)
      b run --rm box sh -c "exit $((number % 100 + 1))" || status=$?
      is $((number % 100 + 1)) $status "exit code of run $number"
      ;;
    1)
      out=$(b run --rm box sh -c "echo out-$number; echo err-$number >&2" 2>"$work/err.$number") || status=$?
      is "0 out-$number err-$number" "$status $out $(cat "$work/err.$number")" "output of run $number"
      ;;
    2)
      b run -d --name "$name" box sleep 1000 >/dev/null && b rm -f "$name" >/dev/null || status=$?
      is 0 $status "run -d and rm -f $number"
      ;;
    3)
      b run -d --name "$name" box sleep 1000 >/dev/null || status=$?
      out=$(b exec "$name" sh -c "echo exec-$number; exit 3") || status=$?
      is "3 exec-$number" "$status $out" "exec $number"
      b rm -f "$name" >/dev/null
      ;;
    4)
      out=$(echo "line-$number" | b run -i --rm box sh -c 'read line; echo "$line"; hostname >/dev/null') || status=$?
      is "0 line-$number" "$status $out" "input of run $number"
      ;;
  esac
}
export -f one_run b is
export work

round() {
  seq "$runs" | xargs -P "$at_once" -I{} bash -c 'one_run {}' >"$work/wrong" 2>&1 || true
  rm -f "$work"/err.*
  [ ! -s "$work/wrong" ] || { sort "$work/wrong" | head -n 8; wc -l <"$work/wrong"; return 1; }
}

nothing_is_left() {
  is "" "$(b ps -aq)" "containers"
  nothing_left main
}

descriptors() { find "/proc/$(engine_pid main)/fd" -mindepth 1 2>/dev/null | wc -l; }
threads() { awk '/^Threads/ {print $2}' "/proc/$(engine_pid main)/status"; }
resident() { awk '/^VmRSS/ {print $2}' "/proc/$(engine_pid main)/status"; } # kB
few_descriptors() { [ "$(descriptors)" -le $((descriptors_before + 4)) ]; }

nothing_grew() {
  eventually 15 few_descriptors || { descriptors; ls -l "/proc/$(engine_pid main)/fd" | tail -n 15; return 1; }
  at_most $((threads_before + 2)) "$(threads)" "threads, $threads_before before"
  grep -q __asan_init "$BERTH_BIN/berthd" || # its quarantine grows
    at_most $((resident_before + 8192)) "$(resident)" "resident kB, $resident_before before"
}

engine_start main || exit 1
image_make
case_of "$runs runs, $at_once at a time, all right" round
case_of "after the first round nothing is left" nothing_is_left
sleep 1
descriptors_before=$(descriptors) threads_before=$(threads) resident_before=$(resident)
case_of "$runs more" round
case_of "after the second round nothing is left" nothing_is_left
case_of "the engine's descriptors, threads and memory did not grow" nothing_grew
finish
