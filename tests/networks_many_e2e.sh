#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many containers on several networks, started and stopped twenty at a time while networks are connected and
# disconnected and the engine is killed again and again: no address is lost or had twice, and nothing stays on the host.
#
#   COUNT=200 KILLS=3 tests/networks_many_e2e.sh     KILLS: in each of the two halves
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

count=${COUNT:-200} at_once=${AT_ONCE:-20} kills=${KILLS:-3}
networks=(bridge many-a many-b many-inside)
small=many-small
table= # of nft: this engine's

# --- what the host has -----------------------------------------------------------------------------------------------

owner() { ip -o link show "$(cat "$work/main/bridge")" | grep -o 'berth network of [0-9a-f]*'; }
rules() { nft list table inet "$table"; }
bridges() { ip -o link show type bridge | grep -F "$(owner)" | cut -d: -f2 | tr -d ' '; }
veths() { # ends of pairs on this engine's bridges, but for those that wait for a container
  local bridge
  for bridge in $(bridges); do ip -o link show master "$bridge" | cut -d: -f2; done
}
# Network namespaces that the engine and its resolver hold; what holds one else, leftovers_of finds.
namespaces() {
  local pid
  for pid in $(engine_pid main) $(resolver_of main); do
    find "/proc/$pid/fd" -lname 'net:*' -printf '%l\n' 2>/dev/null || true
  done | sort -u
}
tracked() { sed 's/.* /=/; s/$/ /' "$work/real" | grep -F -f - /proc/net/nf_conntrack; }
resolver_descriptors() { find "/proc/$(resolver_of main)/fd" -mindepth 1 2>/dev/null | wc -l; }

# --- what is done to the engine --------------------------------------------------------------------------------------

running_again() { # the engine may just be killed, or be on its way up
  local _
  for _ in {1..200}; do ! engine_answers main 2>/dev/null || return 0; sleep 0.1; done
  return 1
}

wrong() { echo "$*" >>"$work/wrong"; }

start_one() { # number
  local name=many-$1 network=${networks[$1 % ${#networks[@]}]} _ flags=() command=(sleep 100000) said
  # Some have an address that they chose, some a port: both are elements that have to come and go.
  [ "$network" != many-b ] || [ $(($1 / 4 % 3)) != 0 ] || flags+=(--ip "10.94.0.$((20 + $1 / 4))")
  [ $(($1 % 10)) != 1 ] || { flags+=(-p 9/udp -p 9/tcp) && command=(httpd -f -p 9); }
  for _ in {1..20}; do
    ! b run -d --name "$name" --network "$network" "${flags[@]}" box "${command[@]}" >/dev/null 2>&1 || return 0
    running_again
    # Cut short by a kill it may be there, and may even run.
    ! said=$(b start "$name" 2>&1) || return 0
  done
  wrong "$name does not start: $said"
}

end_one() { # number
  local name=many-$1 _ said
  [ $(($1 % 3)) != 0 ] || b restart -t 0 "$name" >/dev/null 2>&1 || true
  [ $(($1 % 3)) != 1 ] || b stop -t 0 "$name" >/dev/null 2>&1 || true
  for _ in {1..20}; do
    ! said=$(b rm -f "$name" 2>&1) || return 0
    ! grep -qi 'no such container' <<<"$said" || return 0
    running_again
  done
  wrong "$name cannot be removed: $said"
}

# Connects and disconnects what comes, until told otherwise. That much of it is refused is as it should be.
change_networks() {
  local name network
  while [ ! -e "$work/quiet" ]; do
    name=many-$((RANDOM % count + 1)) network=${networks[RANDOM % ${#networks[@]}]}
    [ $((RANDOM % 3)) != 0 ] || network=$small
    case $((RANDOM % 5)) in
      0) b network connect --ip "10.94.0.$((200 + RANDOM % 20))" many-b "$name" ;;
      1 | 2) b network connect "$network" "$name" && echo connected >>"$work/changes" ;;
      *) b network disconnect "$network" "$name" && echo disconnected >>"$work/changes" ;;
    esac >/dev/null 2>&1 || sleep 0.05
  done
}

# Runs an action for all numbers in a random order, many at once, and kills the engine meanwhile.
in_turmoil() { # action
  local worker workers=() changers=() kill numbers
  rm -f "$work/quiet" "$work/wrong" "$work/changes"
  mapfile -t numbers < <(seq "$count" | shuf)
  for ((worker = 0; worker < at_once; worker++)); do
    (for ((n = worker; n < count; n += at_once)); do "$1" "${numbers[n]}"; echo "${numbers[n]}" >>"$work/$1.done"; done) &
    workers+=($!)
  done
  for worker in 1 2; do
    change_networks &
    changers+=($!)
  done
  # Spread over the first three quarters: what an engine loses after the last kill, no later start mends.
  for ((kill = 1; kill <= kills; kill++)); do
    eventually 120 has_done "$1" $((count * 3 * kill / (4 * kills + 1)))
    sleep "0.$((RANDOM % 10))"
    kill -9 "$(engine_pid main)"
    eventually 10 gone "$(engine_pid main)"
    sleep "0.$((RANDOM % 5))"
    engine_start main
  done
  wait "${workers[@]}"
  touch "$work/quiet"
  wait "${changers[@]}"
  [ ! -s "$work/wrong" ] || { head -n 8 "$work/wrong"; return 1; }
  [ -s "$work/changes" ] || { echo "no network was connected or disconnected"; return 1; }
}
has_done() { [ "$(wc -l <"$work/$1.done" 2>/dev/null || echo 0)" -ge "$2" ]; }

# --- what has to be true ---------------------------------------------------------------------------------------------

all_run() { is "$count" "$(b ps -q | wc -l)" "containers that run"; }

# Name, process, network and address of every place, as the engine has it.
places() {
  b ps -q | LIMIT=120 xargs timeout 120 berth inspect -f \
    '{{$c := .}}{{range $n, $e := .NetworkSettings.Networks}}{{println $c.Name $c.State.Pid $n $e.IPAddress}}{{end}}' |
    sed '/^$/d; s|^/||' | sort
}

addresses_agree() {
  local pid
  places >"$work/places"
  awk '{print $2, $4}' "$work/places" | sort >"$work/believed"
  b ps -q | xargs timeout 120 berth inspect -f '{{.State.Pid}}' >"$work/pids"
  for pid in $(cat "$work/pids"); do # what is in the namespaces, whatever the engine believes
    nsenter -n -t "$pid" ip -4 -o address show scope global | awk -v pid="$pid" '{split($4, a, "/"); print pid, a[1]}'
  done | sort >"$work/real"
  is "" "$(diff "$work/believed" "$work/real" | head -n 5)" "addresses of inspect (<) and of the namespaces (>)"
  is "" "$(cut -d' ' -f2 "$work/real" | sort | uniq -d)" "addresses that two containers have"
  [ "$(wc -l <"$work/real")" -gt $((count / 2)) ] || { echo "hardly any container is on a network"; return 1; }
  for network in "${networks[@]}" $small; do # as the network has it
    b network inspect -f '{{range .Containers}}{{println .Name .IPv4Address}}{{end}}' "$network" | sed '/^$/d; s|/.*||' | sort >"$work/users"
    is "" "$(awk -v n="$network" '$3 == n {print $1, $4}' "$work/places" | sort | diff - "$work/users" | head -n 5)" "users of $network"
  done
}

silent() { # those among the addresses that do not answer this host
  xargs -P 20 -I{} sh -c 'busybox ping -c 1 -W 5 {} >/dev/null 2>&1 || echo {}'
}
addresses_answer() {
  cut -d' ' -f2 "$work/real" | silent >"$work/silent"
  is "" "$(head -n 5 "$work/silent")" "addresses that do not answer"
}

# Of a name on several of the asker's networks one address is told, and that is right.
names_are_right() {
  local network asker name addresses
  for network in "${networks[@]}"; do
    asker=$(awk -v n="$network" '$3 == n {print $1; exit}' "$work/places")
    [ -n "$asker" ] || continue
    for name in $(awk -v n="$network" '$3 == n {print $1}' "$work/places"); do
      addresses=$(awk -v n="$name" '$1 == n {print $4}' "$work/places" | paste -sd'|')
      echo "nslookup -type=a $name 127.0.0.11 2>&1 | tail -n +3 | grep -qE 'Address.* ($addresses)\$' || echo $name"
    done >"$work/questions"
    LIMIT=120 b exec -i "$asker" sh <"$work/questions" >"$work/unanswered"
    is "" "$(head -n 5 "$work/unanswered")" "names on $network without their address"
  done
}

# Conversations that the kernel remembers, so that there is something to be left behind.
ports_are_used() {
  local port
  for port in $(b ps --format '{{.Ports}}' | grep -o '0.0.0.0:[0-9]*->9/udp' | cut -d: -f2 | cut -d- -f1); do
    echo hello | timeout 5 socat - "udp-sendto:127.0.0.1:$port" || true # an internal network has no way in
  done
  for port in $(b ps --format '{{.Ports}}' | grep -o '0.0.0.0:[0-9]*->9/tcp' | cut -d: -f2 | cut -d- -f1); do
    curl -s --max-time 5 -o "$work/answer" "http://127.0.0.1:$port/" || true
  done
  # Those that chance has disconnected have none any more.
  [ -n "$port" ] || { echo "nothing is published"; return 1; }
  tracked >"$work/tracked"
  grep -q TIME_WAIT "$work/tracked" || { echo "the kernel tracks no connection that has ended"; cat "$work/tracked"; return 1; }
}

host_is_as_before() {
  is "" "$(b ps -aq)" "containers"
  nothing_left main 30
  for network in "${networks[@]}" $small; do is "{}" "$(b network inspect -f '{{json .Containers}}' "$network")" "users of $network"; done
  eventually 10 same_rules || { diff "$work/rules.before" <(rules); return 1; }
  eventually 10 few_veths || { veths; return 1; }
  eventually 10 few_namespaces || { namespaces; return 1; }
  eventually 10 few_resolver_descriptors || { ls -l "/proc/$(resolver_of main)/fd" | tail -n 8; return 1; }
}
same_rules() { diff -q "$work/rules.before" <(rules) >/dev/null; }
few_veths() { [ "$(veths | wc -l)" -le 4 ]; } # made ahead
few_namespaces() { [ "$(namespaces | wc -l)" -le 9 ]; } # made ahead as well, four of each kind, and where the engine is
few_resolver_descriptors() { [ "$(resolver_descriptors)" -le "$resolver_descriptors_before" ]; }

nothing_is_tracked() { eventually 10 none_tracked || { tracked | head -n 5; return 1; }; }
none_tracked() { ! tracked >/dev/null; }

# Each address of a small subnet is to be had again.
every_address_is_there() {
  local n
  for n in {1..13}; do b run -d --name "small-$n" --network $small box sleep 1000 >/dev/null; done
  # shellcheck disable=SC2046 # names without spaces
  is "$(printf '10.95.0.%d\n' {2..14} | sort)" \
    "$(b inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $(printf 'small-%d ' {1..13}) | sort)"
  refused 125 'taken|exhausted|no available' b run -d --name small-14 --network $small box sleep 1000
  printf 'small-%d\n' {1..14} | xargs berth rm -f >/dev/null
}

# An engine that ends takes the bridges and the table along, if it believes that nobody has an address.
nothing_of_the_engine_stays() {
  local mark resolver
  mark=$(owner) resolver=$(resolver_of main)
  for network in "${networks[@]:1}" $small; do b network rm "$network" >/dev/null; done
  nothing_left main
  engine_end main
  is "" "$(ip -o link | grep -F "$mark")" "devices"
  ! rules >/dev/null 2>&1 || { echo "the table is still there"; return 1; }
  eventually 20 gone "$resolver"
  engine_start main # the end of this run wants to see it alive
}

engine_start main || exit 1
image_make
table=$(nft list tables inet | awk '{print $3}' | while read -r name; do
  ! nft list table inet "$name" | grep -w "$(cat "$work/main/bridge")" >/dev/null || echo "$name"
done)
b network create many-a >/dev/null
b network create --subnet 10.94.0.0/24 --ip-range 10.94.0.128/25 many-b >/dev/null
b network create --internal many-inside >/dev/null
b network create --subnet 10.95.0.0/28 $small >/dev/null
b run --rm box true # the resolver is there from now on
rules >"$work/rules.before"
resolver_descriptors_before=$(resolver_descriptors)

case_of "$count start, $at_once at a time, while networks change and the engine is killed" in_turmoil start_one
case_of "all of them run" all_run
case_of "every address is had once, and is what inspect says" addresses_agree
case_of "every address answers" addresses_answer
case_of "every name has its address" names_are_right
case_of "published ports are used" ports_are_used
case_of "$count end in a random order, while networks change and the engine is killed" in_turmoil end_one
case_of "no veth, namespace, rule, sandbox of the resolver or control group is left" host_is_as_before
case_of "the kernel tracks no connection of theirs" nothing_is_tracked
case_of "a small network gives out every address again" every_address_is_there
case_of "nothing stays when the engine ends" nothing_of_the_engine_stays
finish
