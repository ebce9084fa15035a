#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Streams: terminals, detaching, several clients, half-closed input, readers that stall or go away, signals.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

resident() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }

# Runs a command on a terminal of its own; standard input is typed into it.
on_terminal() { timeout -k 5 40 script -q -e -c "$1" /dev/null; }

terminal() {
  local out
  out=$(on_terminal "berth run --rm -t box sh -c 'test -t 0 && test -t 1 && tty; echo done'" </dev/null | tr -d '\r')
  contains "$out" /dev/pts/0
  contains "$out" "done"
  out=$(b run --rm box sh -c 'test -t 1 || echo none')
  is none "$out"
}
terminal_input() {
  local out
  out=$({ sleep 1; printf 'echo $((20 + 22))\n'; sleep 0.5; printf 'exit 9\n'; sleep 1; } |
    on_terminal 'berth run --rm -it box sh; echo "status $?"' | tr -d '\r')
  contains "$out" 42
  contains "$out" "status 9"
}
terminal_size() {
  local out
  out=$(on_terminal "stty rows 33 cols 101; berth run --rm -it box sh -c 'sleep 0.5; stty size'" </dev/null | tr -d '\r')
  contains "$out" "33 101"
}
resized() {
  b run -d -t --name sized box sh -c 'trap "stty size" WINCH; while :; do sleep 0.1; done'
  sleep 0.5
  is 200 "$(http POST '/containers/sized/resize?h=17&w=55')"
  eventually 5 log_contains sized "17 55"
  case $(http POST '/containers/sized/resize?h=abc&w=55') in 4*) ;; *) return 1 ;; esac
  b rm -f sized
}
log_contains() { [[ $(b logs "$1" 2>&1) == *"$2"* ]]; }

detach_keys() {
  b run -d -it --name keys box sh
  { sleep 1; printf 'echo typed-$((1 + 1))\n'; sleep 0.5; printf '\020\021'; sleep 1; } |
    on_terminal 'berth attach keys' >"$work/keys" || true
  contains "$(cat "$work/keys")" typed-2
  state_is keys running
  # Other keys, and again.
  { sleep 1; printf '\001x'; sleep 1; } | on_terminal 'berth attach --detach-keys ctrl-a,x keys' >"$work/keys" || true
  state_is keys running
  b rm -f keys
}
detach_from_run() {
  { sleep 1.5; printf '\020\021'; sleep 1; } | on_terminal 'berth run -it --name left box sh' >/dev/null || true
  state_is left running
  b rm -f left
}
detach_from_exec() {
  b run -d --name host box sleep 1000
  { sleep 1; printf '\020\021'; sleep 1; } | on_terminal 'berth exec -it host sleep 777' >/dev/null || true
  contains "$(b top host)" "sleep 777"
  b rm -f host
}
bad_keys() { refused 1 'detach|key' b attach --detach-keys nonsense-keys two-keys; }

two_clients() {
  local one two
  b run -d -i --name two box sh -c 'while read -r line; do echo "got $line"; done; echo over'
  b attach --no-stdin two >"$work/one" &
  one=$!
  { sleep 1; echo a; echo b; sleep 0.5; } | b attach two >"$work/two" &
  two=$!
  eventually 5 grep -q 'got b' "$work/one"
  b stop -t 0 two
  wait $one $two || true
  is "got a got b" "$(grep got "$work/one" | xargs)"
  is "got a got b" "$(grep got "$work/two" | xargs)"
  b rm -f two
}
half_close() { # the end of input is the program's, and output goes on
  is "a b after" "$(printf 'a\nb\n' | b run -i --rm box sh -c 'cat; sleep 0.5; echo after' | xargs)"
  b run -d --name shut box sleep 1000
  is "a b after" "$(printf 'a\nb\n' | b exec -i shut sh -c 'cat; sleep 0.5; echo after' | xargs)"
  is 0 "$(b exec -i shut wc -c </dev/null)"
  b rm -f shut
}
exits_while_input_is_open() { # the program is done, though nobody closed its input
  local begin=$SECONDS
  sleep 20 | { b run -i --rm box sh -c 'echo out; exit 4' || echo "status $?"; } >"$work/open" &
  local pid=$!
  eventually 8 grep -q 'status 4' "$work/open"
  at_most 9 $((SECONDS - begin)) seconds
  kill $pid 2>/dev/null || true
}
separate_streams() {
  b run --rm box sh -c 'echo out; echo err >&2' >"$work/out" 2>"$work/err"
  is "out err" "$(cat "$work/out") $(cat "$work/err")"
}

stalled_reader() { # the keeper holds little of what nobody reads
  local client keeper before
  mkfifo "$work/stalled"
  b run -d -i --name writer box sh -c 'read go; yes 0123456789012345678901234567890123456789 | head -c 60000000; echo; echo end; sleep 1000'
  keeper=$(keeper_of writer)
  exec 7<>"$work/stalled" # open, and never read
  { sleep 1; echo go; sleep 6; } | LIMIT=20 b attach writer >"$work/stalled" 2>/dev/null &
  client=$!
  before=$(resident "$keeper")
  sleep 4
  at_most $((before + 6000)) "$(resident "$keeper")" "kB of the keeper, $before before"
  b exec writer true
  kill $client 2>/dev/null || true
  exec 7>&-
  b rm -f writer
}
vanished_reader() {
  b run -d --name gusher box sh -c 'n=0; while :; do n=$((n + 1)); echo "line $n"; [ $((n % 500)) != 0 ] || sleep 0.1; done'
  local _
  for _ in {1..5}; do timeout -s KILL 0.3 berth attach --no-stdin gusher >/dev/null 2>&1 || true; done
  for _ in {1..5}; do b attach --no-stdin gusher 2>/dev/null | head -n 3 >/dev/null || true; done
  state_is gusher running
  b exec gusher true
  b rm -f gusher
}

rotation() { # nothing is lost or doubled for a reader that follows
  b run -d --name rotating --log-opt max-size=20k --log-opt max-file=3 box sh -c \
    'sleep 1; n=0; while [ $n -lt 3000 ]; do echo "line $n"; n=$((n + 1)); [ $((n % 50)) != 0 ] || sleep 0.02; done; echo end'
  LIMIT=40 b logs -f rotating >"$work/rotated"
  is "$(seq 0 2999 | sed 's/^/line /'; echo end)" "$(cat "$work/rotated")"
  local files
  files=$(find "$work/main/data/containers/$(b inspect -f '{{.Id}}' rotating)" -name '*.log*')
  at_most 3 "$(wc -l <<<"$files")" "files of the log"
  at_most 70000 "$(xargs cat <<<"$files" | wc -c)" "bytes of the log"
  is end "$(b logs --tail 1 rotating)"
  b rm rotating
}
follow_ends() {
  b run -d --name brief box sh -c 'echo a; sleep 0.5; echo b'
  is "a b" "$(b logs -f brief | xargs)"
  b rm brief
}
hundred_megabytes() {
  local sum
  b run -d --name pipe box sleep 1000
  head -c 100000000 /dev/urandom >"$work/random"
  sum=$(md5sum <"$work/random")
  is "$sum" "$(b exec -i pipe cat <"$work/random" | md5sum)" "in and out"
  is 1000000 "$(head -c 1000000 "$work/random" | b exec -i pipe wc -c)" "in"
  rm "$work/random"
  b rm -f pipe
}

signals() { # what arrives at the client reaches the program
  local client signal status
  for signal in TERM INT HUP USR1; do
    status=0
    : >"$work/signal" # what the one before said is not to be taken for this one's
    berth run --name "sig-$signal" box sh -c "trap 'echo got $signal; exit 21' $signal; echo ready; while :; do sleep 0.1; done" \
      >"$work/signal" 2>&1 &
    client=$!
    eventually 10 grep -q ready "$work/signal"
    # A shell's background children ignore INT from the beginning; the client must have been able to catch it.
    kill -$signal $client
    eventually 8 state_is "sig-$signal" exited || { kill -9 $client; return 1; }
    wait $client || status=$?
    is "21 got $signal" "$status $(tail -n 1 "$work/signal")"
    b rm -f "sig-$signal"
  done
}
no_proxy() {
  berth run --sig-proxy=false --name deaf box sh -c 'echo ready; exec sleep 1000' >"$work/deaf" 2>&1 &
  local client=$!
  eventually 10 grep -q ready "$work/deaf"
  kill -TERM $client
  eventually 5 gone $client
  state_is deaf running
  b rm -f deaf
}
# Told that it is attached, a client may start the container at once, and its output comes, however short. This
# one holds its attach up: it does not read the log that it asked for first.
start_follows_attach() {
  b run --name told box sh -c 'if [ -e /once ]; then echo second; else touch /once; yes 0123456789012345678901234567890123456789 | head -c 2000000; echo; fi' >/dev/null
  python3 - "$work/main/berth.sock" <<'EOF'
import socket, sys, threading, time
def ask(line):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(sys.argv[1])
    connection.sendall(f"POST /containers/told/{line} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".encode())
    return connection
client = ask("attach?logs=1&stream=1&stdout=1")
got = client.recv(300)
assert got.startswith(b"HTTP/1.1 200 "), got
answers = []
starter = threading.Thread(target=lambda: answers.append(ask("start").recv(100)))
starter.start()
time.sleep(0.5)
while data := client.recv(1 << 20):
    got += data
starter.join()
assert answers[0].startswith(b"HTTP/1.1 204 "), answers
assert len(got) > 2000000 and got.count(b"second") == 1 and got.endswith(b"second\n"), (len(got), got[-40:])
EOF
  b rm told
}
killed_client() { # nobody hears the client's death: the container goes on
  berth run --name lonely box sh -c 'echo ready; exec sleep 1000' >"$work/lonely" 2>&1 &
  local client=$!
  eventually 10 grep -q ready "$work/lonely"
  kill -9 $client
  sleep 0.5
  state_is lonely running
  b rm -f lonely
}

engine_start main || exit 1
image_make
b run -d --name two-keys box sleep 1000 >/dev/null
case_of "a terminal, or none" terminal
case_of "typing into a terminal" terminal_input
case_of "a terminal's size" terminal_size
case_of "resize through the API" resized
case_of "detach keys" detach_keys
case_of "detach from run" detach_from_run
case_of "detach from exec" detach_from_exec
case_of "detach keys that are none" bad_keys
case_of "two clients" two_clients
case_of "input's end" half_close
case_of "a program that ends while its input is open" exits_while_input_is_open
case_of "two streams" separate_streams
case_of "a reader that stalls" stalled_reader
case_of "readers that go away" vanished_reader
case_of "logs -f across rotation" rotation
case_of "logs -f ends with the container" follow_ends
case_of "100 MB through exec" hundred_megabytes
case_of "signals are passed on" signals
case_of "--sig-proxy=false" no_proxy
case_of "a start right after an attach" start_follows_attach
case_of "a client that is killed" killed_client
finish
