#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The engine and its keepers are killed at any moment. What was acknowledged is still there, what runs runs on, nothing
# is left behind.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-20}

engine_kill() { kill -9 "$(engine_pid main)"; eventually 10 gone "$(engine_pid main)"; }
engine_again() { engine_kill && engine_start main; }
pid_of() { b inspect -f '{{.State.Pid}}' "$1"; }
# --- the engine dies at random moments ---

# Clients that do one thing after another until the engine is gone, and note what was acknowledged.
create_many() { # directory
  local n=0 id
  while id=$(b create --name "made-$n" box true 2>/dev/null); do echo "made-$n $id" >>"$1/created"; n=$((n + 1)); done
}
run_many() {
  local n=0 id
  while id=$(b run -d --name "ran-$n" box sh -c "echo hello $n; exec sleep 1000" 2>/dev/null); do
    echo "ran-$n $id" >>"$1/ran"
    n=$((n + 1))
    if [ $((n % 3)) = 0 ] && b stop -t 0 "ran-$((n - 1))" >/dev/null 2>&1; then echo "ran-$((n - 1))" >>"$1/stopped"; fi
  done
}
exec_many() { while b exec steady sh -c 'exit 0' >/dev/null 2>&1; do :; done; }
remove_many() {
  local n=0
  while b run -d --name "gone-$n" box sleep 1000 >/dev/null 2>&1 && b rm -f "gone-$n" >/dev/null 2>&1; do
    echo "gone-$n" >>"$1/removed"
    n=$((n + 1))
  done
}
finish_many() { # ends with an exit code while the engine may be dead
  local n=0 id
  while id=$(b run -d --name "code-$n" box sh -c "sleep 0.2; exit $((n % 50 + 1))" 2>/dev/null); do
    echo "code-$n $((n % 50 + 1))" >>"$1/codes"
    n=$((n + 1))
  done
}

killed_at_random() { # round
  local notes=$work/round.$1 name id wanted pid worker workers=()
  mkdir "$notes"
  pid=$(pid_of steady)
  for worker in create_many run_many exec_many remove_many finish_many; do
    $worker "$notes" &
    workers+=($!)
  done
  eventually 10 test -s "$notes/created" # otherwise there is nothing to lose
  sleep "$((RANDOM % 500 * slowness))e-3"
  engine_kill
  wait "${workers[@]}" || true
  engine_start main

  is "running $pid" "$(b inspect -f '{{.State.Status}} {{.State.Pid}}' steady)" "what ran before"
  touch "$notes"/{created,ran,stopped,removed,codes}
  b ps -a --no-trunc --format '{{.Names}} {{.ID}} {{.State}}' >"$notes/all"
  while read -r name id; do
    grep -q "^$name $id created" "$notes/all" || { echo "$name was created, now: $(grep "^$name " "$notes/all")"; return 1; }
  done <"$notes/created"
  while read -r name id; do
    wanted=running
    ! grep -qx "$name" "$notes/stopped" || wanted=exited
    # The last one may have been on its way to a stop.
    [ "$name" = "$(tail -n 1 "$notes/ran" | cut -d' ' -f1)" ] && wanted='[a-z]*'
    grep -q "^$name $id $wanted" "$notes/all" || { echo "$name should be $wanted, now: $(grep "^$name " "$notes/all")"; return 1; }
    is "hello ${name#ran-}" "$(b logs "$name")" "log of $name"
  done <"$notes/ran"
  while read -r name; do
    ! grep -q "^$name " "$notes/all" || { echo "$name had been removed, and is back"; return 1; }
  done <"$notes/removed"
  while read -r name id; do
    is "$id" "$(b wait "$name")" "exit code of $name"
  done <"$notes/codes"
  cut -d' ' -f1 "$notes/all" | sed '/^steady$/d' | xargs -r timeout $((60 * slowness)) berth rm -f >/dev/null
  is steady "$(b ps -a --format '{{.Names}}')" "containers after rm -f of all others"
  [ -s "$notes/all" ] && [ -s "$notes/created" ] || { echo "the clients did nothing"; wc -l "$notes"/*; return 1; }
  eventually 10 only_steady_is_left || { leftovers_of main | grep -v "$(b ps -q --no-trunc)"; return 1; }
}
only_steady_is_left() {
  local id
  id=$(b ps -q --no-trunc)
  ! leftovers_of main | grep -v "$id" | grep -q -v "^process $(pid_of steady) "
}

# --- what runs, runs on ---

log_is_whole() {
  b run -d --name counter box sh -c 'n=0; while [ $n -lt 3000 ]; do echo "line $n"; n=$((n + 1)); done; sleep 1; echo end; exit 7'
  local _
  for _ in 1 2 3; do engine_again; done
  is 7 "$(b wait counter)"
  b logs counter >"$work/lines"
  is 3001 "$(wc -l <"$work/lines")" "lines"
  is "$(seq 0 2999 | sed 's/^/line /'; echo end)" "$(cat "$work/lines")"
  b rm counter
}

ended_while_dead() {
  b run -d --name short box sh -c 'sleep 0.5; echo last; exit 42'
  engine_kill
  sleep 1.5
  engine_start main
  is "exited 42" "$(b inspect -f '{{.State.Status}} {{.State.ExitCode}}' short)"
  is last "$(b logs short)"
  b rm short
}

restarted_while_dead() { # the keeper follows the policy without an engine
  b run -d --name again --restart always box sh -c 'echo started; sleep 0.3; exit 1'
  engine_kill
  sleep 2
  engine_start main
  eventually 5 state_is again running || state_is again restarting
  [ "$(b logs again | wc -l)" -ge 2 ]
  b rm -f again
}

removed_by_itself_while_dead() {
  b run -d --rm --name brief box sleep 0.5
  engine_kill
  sleep 1.5
  engine_start main
  eventually 5 no_container brief
}
no_container() { ! b inspect "$1" >/dev/null 2>&1; }

client_survives() { # an attached client has its own connection to the keeper
  local client
  LIMIT=30 b run --name talker box sh -c 'n=0; while [ $n -lt 30 ]; do echo "tick $n"; n=$((n + 1)); sleep 0.1; done; exit 5' \
    >"$work/ticks" 2>"$work/ticks.err" &
  client=$!
  eventually 10 grep -q 'tick 3' "$work/ticks"
  engine_kill
  sleep 0.7
  local before after
  before=$(wc -l <"$work/ticks")
  sleep 0.6
  after=$(wc -l <"$work/ticks")
  [ "$after" -gt "$before" ] || { echo "no output without an engine: $before lines, then $after"; cat "$work/ticks.err"; engine_start main; b rm -f talker; return 1; }
  engine_start main
  wait $client || true # its exit code is checked by the container's
  is "$(seq 0 29 | sed 's/^/tick /')" "$(cat "$work/ticks")" "output"
  is "exited 5" "$(b inspect -f '{{.State.Status}} {{.State.ExitCode}}' talker)"
  b rm talker
}


stop_after_restart() {
  b run -d --name stoppable box sh -c 'trap "echo asked; exit 9" TERM; while :; do sleep 0.1; done'
  engine_again
  b stop stoppable
  is "exited 9" "$(b inspect -f '{{.State.Status}} {{.State.ExitCode}}' stoppable)"
  is asked "$(b logs stoppable)"
  b start stoppable
  b exec stoppable true
  b rm -f stoppable
}

# --- a keeper dies ---

keeper_killed() {
  local keeper pid
  b run -d --name orphan box sleep 1000
  keeper=$(keeper_of orphan) pid=$(pid_of orphan)
  [ -n "$keeper" ]
  kill -9 "$keeper"
  eventually 10 state_is orphan exited
  is 255 "$(b inspect -f '{{.State.ExitCode}}' orphan)"
  eventually 5 gone "$pid"
  b start orphan
  state_is orphan running
  b rm -f orphan
}

keeper_killed_while_dead() {
  local keeper pid
  b run -d --name orphan box sleep 1000
  b run -d --name phoenix --restart always box sleep 1000
  pid=$(pid_of orphan)
  engine_kill
  for keeper in $(processes_of main); do
    tr '\0' ' ' <"/proc/$keeper/cmdline" >"$work/words"
    if grep -q "^[^ ]*berth-keeper " "$work/words" && ! grep -q "$steady" "$work/words"; then kill -9 "$keeper"; fi
  done
  engine_start main
  is "exited 255" "$(b inspect -f '{{.State.Status}} {{.State.ExitCode}}' orphan)"
  eventually 5 gone "$pid"
  eventually 10 state_is phoenix running
  b rm -f orphan phoenix
}

# --- keepers that wait for a container ---

waiting_keepers() { # of the engine "main"
  local child
  for child in $(cat /proc/"$(engine_pid main)"/task/*/children); do
    grep -qz '^(waits for a container)' "/proc/$child/cmdline" && echo "$child"
  done
  return 0
}
some_wait() { [ -n "$(waiting_keepers)" ]; }

waiting_keepers_killed() {
  local keeper
  b run --rm box true
  eventually 5 some_wait
  for keeper in $(waiting_keepers); do kill -9 "$keeper"; done
  is out "$(b run --rm box echo out)"
}
waiting_keepers_go_with_the_engine() {
  local keeper waiting
  b run --rm box true
  eventually 5 some_wait
  waiting=$(waiting_keepers)
  engine_kill
  for keeper in $waiting; do eventually 5 gone "$keeper"; done
  engine_start main
  b run --rm box true
  eventually 5 some_wait
  waiting=$(waiting_keepers)
  engine_end main TERM
  for keeper in $waiting; do eventually 5 gone "$keeper"; done
  engine_start main
}

# --- engines beside each other ---

second_on_same_root() {
  refused 1 'lock|another|already|in use|running' timeout 10 berthd --data-root "$work/main/data" \
    --exec-root "$work/main/run" -H "unix://$work/second.sock"
  is "" "$(b exec steady true)"
}

two_engines() {
  engine_start other
  image_make
  b run -d --name steady box sleep 1000 # the same name as in the first
  is steady "$(b ps -a --format '{{.Names}}')"
  engine_use main
  is "$steady" "$(b inspect -f '{{.Id}}' steady)"
  kill -9 "$(engine_pid other)"
  b exec steady true
  engine_start other
  b rm -f steady
  engine_use main
  b exec steady true
}

bridge_goes_with_the_engine() {
  local bridge
  engine_start tidy
  image_make
  bridge=$(cat "$work/tidy/bridge")
  b run -d --name last box sleep 1000
  engine_end tidy
  ip -o link show "$bridge" # a container runs on it
  engine_start tidy
  b exec last ip -o -4 address show eth0
  b rm -f last
  engine_end tidy
  fails ip -o link show "$bridge" 2>/dev/null
  engine_start tidy # the end of this run wants to see it alive
}

engine_start main || exit 1
image_make
b run -d --name steady box sleep 100000 >/dev/null
steady=$(b inspect -f '{{.Id}}' steady)
case_of "a log is whole, though the engine died three times" log_is_whole
case_of "a container that ends while the engine is dead has its exit code" ended_while_dead
case_of "a restart policy works while the engine is dead" restarted_while_dead
case_of "--rm removes though the engine died" removed_by_itself_while_dead
case_of "an attached client gets output while the engine is dead" client_survives
case_of "stop, start and exec work after the engine died" stop_after_restart
case_of "a killed keeper: the container ends with 255 and can be started" keeper_killed
case_of "a keeper killed while the engine is dead" keeper_killed_while_dead
case_of "keepers that were killed while they waited are no loss" waiting_keepers_killed
case_of "keepers that wait go with their engine" waiting_keepers_go_with_the_engine
case_of "a second engine on the same root is refused" second_on_same_root
case_of "two engines side by side" two_engines
case_of "an engine takes its bridge along when no container is on it" bridge_goes_with_the_engine
for ((round = 1; round <= rounds && SECONDS < 60 * slowness; round++)); do # on a busy machine, fewer
  case_of "kill -9 at a random moment, round $round" killed_at_random "$round"
done
engine_use main
finish
