#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# More containers on one network than a Linux bridge is given: several bridges are one network.
#
#   SIZE=1100 tests/networks_large_e2e.sh     containers; three bridges need more than 500
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

size=${SIZE:-520} last=$((${SIZE:-520} - 1))
network=large

start_some() { # first last
  seq -f 'large-%.0f' "$1" "$2" |
    xargs -P 4 -I{} timeout $((60 * slowness)) berth run -d --name {} --network $network box sleep 100000 >/dev/null
}
timed() { # file command...: its milliseconds
  local begin
  begin=$(date +%s%3N)
  "${@:2}"
  echo $(($(date +%s%3N) - begin)) >"$work/$1"
}
segments() { ip -o link show type bridge | grep -c -F "$mark/" || true; }
gateway() { b network inspect -f '{{(index .IPAM.Config 0).Gateway}}' $network; }
pings() { b exec "$1" ping -c 1 -W 2 "$2" >/dev/null || { echo "$1 does not reach $2"; return 1; }; }
members() { printf 'large-%d\n' 0 $((size / 2)) $((size - 20)) $last; }

they_start() {
  timed first start_some 0 99
  start_some 100 $((last - 100))
  timed last start_some $((last - 99)) $last
  is "$size" "$(b ps -q --filter network=$network | wc -l)" "containers"
  is "$size" "$(b network inspect -f '{{len .Containers}}' $network)" "containers on the network"
}

# The queue of packets that veth pairs deliver holds fewer copies than one broadcast has receivers.
each_reaches_the_others() {
  local from to
  for from in $(members); do
    pings "$from" "$(gateway)"
    for to in $(members); do [ "$from" = "$to" ] || pings "$from" "$to"; done
    busybox ping -c 1 -W 2 "$(address_of "$from")" >/dev/null || { echo "the host does not reach $from"; return 1; }
  done
}

ports_of_the_last_are_reached() {
  b run -d --name server --network $network -p 127.0.0.1::80 box sh -c 'echo hello >/index.html; exec httpd -f -h / -p 80' >/dev/null
  eventually 10 fetched "http://$(b port server 80)/index.html" hello
  is hello "$(b exec large-0 wget -qO- http://server/index.html)" "from the first bridge"
}

an_engine_that_was_killed_finds_them() {
  kill -9 "$(engine_pid main)"
  eventually 10 gone "$(engine_pid main)"
  engine_start main
  lacks "$(tail -n 50 "$work/main/engine.log")" "No buffer space"
  b run -d --name later --network $network box sleep 100000 >/dev/null
  pings later large-0
  pings large-$last later
  each_reaches_the_others
  fetched "http://$(b port server 80)/index.html" hello
}

containers_are_kept_apart() {
  network=apart
  b network create -o com.docker.network.bridge.enable_icc=false $network >/dev/null
  start_some 1000 1260
  local from=large-1000 to=large-1260
  pings $from "$(gateway)"
  pings $to "$(gateway)"
  fails pings $from "$(address_of $to)"
  fails pings $to "$(address_of $from)"
}

nothing_of_them_stays() {
  b ps -aq | xargs -n 100 timeout $((300 * slowness)) berth rm -f >/dev/null
  b network rm $network apart >/dev/null
  is 0 "$(ip -o link | grep -c -F "$mark/")" "devices"
  nothing_left main
}

engine_start main || exit 1
image_make
mark=$(ip -o link show "$(cat "$work/main/bridge")" | grep -o 'berth network of [0-9a-f]*')
b network create $network >/dev/null

case_of "$size start on one network" they_start
case_of "the last hundred start as fast as the first" at_most $(($(cat "$work/first") * 3 / 2)) "$(cat "$work/last")" "milliseconds"
case_of "the network has got a bridge for each 250" is $((size / 250 + 1)) "$(segments)"
case_of "each reaches the others, by name, and the host" each_reaches_the_others
case_of "a port of one on the last bridge is reached" ports_of_the_last_are_reached
case_of "an engine that was killed finds all of them" an_engine_that_was_killed_finds_them
case_of "a network that keeps containers apart does so from bridge to bridge" containers_are_kept_apart
case_of "no bridge is left when they and their networks go" nothing_of_them_stays
finish
