#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The driver macvlan by command line. The parent is one end of a veth pair; the other is in a network namespace, where a
# neighbour lives.
. "$(dirname "$0")/lib.sh"

wire=mh$$ plug=mp$$ ns=berth-mv-$$
ip netns add "$ns"
ip link add "$wire" type veth peer name "$plug" netns "$ns"
ip link set "$wire" up
ip -n "$ns" address add 10.94.0.1/24 dev "$plug"
ip -n "$ns" link set "$plug" up
ip -n "$ns" link set lo up
probe=mt$$
if ! ip link add link "$wire" name "$probe" type macvlan 2>/dev/null; then
  ip link delete "$wire"
  ip netns delete "$ns"
  echo "SKIP: this kernel has no macvlan"
  exit 77
fi
ip link delete "$probe"
unplug() {
  ip link delete "$wire" 2>/dev/null
  ip netns delete "$ns" 2>/dev/null
}
trap 'clean_up; unplug' EXIT

neighbour() { ip netns exec "$ns" "$@"; }
asks() { b exec "$1" timeout 3 wget -qO- "http://$2/"; } # container address
serves() { [ "$(neighbour curl -fsS --max-time 3 "http://$1/" 2>/dev/null)" = "$2" ]; }
serve() { b run -d --name "$1" --hostname "$1" "${@:2}" box sh -c "$web"; }
made_links() { ip -o link | grep -oE ' d[mp]-[0-9a-f]{12}' || true; }

refusals() {
  refused 1 'gone0' b network create -d macvlan -o parent=gone0 x
  refused 1 'gone0\.10 nor its parent' b network create -d macvlan -o parent=gone0.10 x
  refused 1 'loopback' b network create -d macvlan -o parent=lo x
  refused 1 "'source' is not valid" b network create -d macvlan -o parent="$wire" -o macvlan_mode=source x
  refused 1 'ipvlan' b network create -d ipvlan -o parent="$wire" x
  b network create --subnet 10.95.0.0/24 taken
  refused 1 'overlap' b network create -d macvlan --subnet 10.95.0.0/25 -o parent="$wire" x
  b network rm taken
  refused 1 'not found' b network inspect x
}

on_the_wire() {
  local before
  b network create -d macvlan --subnet 10.94.0.0/24 --gateway 10.94.0.1 --ip-range 10.94.0.128/25 \
    --aux-address router=10.94.0.129 -o parent="$wire" wired
  is "macvlan 10.94.0.0/24 10.94.0.1 10.94.0.128/25 $wire" "$(b network inspect \
    -f '{{.Driver}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{.IPRange}}{{end}} {{.Options.parent}}' wired)"
  serve one --network wired -p 28095:80
  serve two --network wired --ip 10.94.0.77
  is 10.94.0.128 "$(address_of one)"
  is 10.94.0.77 "$(address_of two)"
  eventually 5 serves 10.94.0.128 one
  eventually 5 serves 10.94.0.77 two
  is two "$(asks one two)"
  is one "$(asks two one)"
  contains "$(b exec one ip route)" "default via 10.94.0.1 dev eth0"
  # There is no port of the host's, and this host is no neighbour: the kernel passes nothing between them.
  is "" "$(b port one)"
  fails curl -fsS --max-time 2 http://127.0.0.1:28095/ 2>/dev/null
  refused 1 'active endpoints' b network rm wired

  kill -9 "$(engine_pid main)"
  serves 10.94.0.128 one
  engine_start main
  is 10.94.0.128 "$(address_of one)"
  is two "$(asks one two)"
  is 10.94.0.130 "$(b run --rm --network wired box ip -4 -o addr show eth0 | grep -o '10\.94\.0\.[0-9]*' | sed -n 1p)"
  refused 125 'is taken' b run --rm --network wired --ip 10.94.0.77 box true
  b restart -t 0 one
  before=$(address_of one)
  eventually 5 serves "$before" one
  b restart -t 0 two # the same address, and the same MAC address, at once
  eventually 5 serves 10.94.0.77 two
  b rm -f one two
}

connected_while_it_runs() {
  serve both
  b network connect wired both
  contains "$(b exec both ls /sys/class/net)" eth1
  lacks "$(b exec both ip route)" "default via 10.94.0.1"
  local address
  address=$(b inspect -f '{{.NetworkSettings.Networks.wired.IPAddress}}' both)
  eventually 5 serves "$address" both
  b network disconnect wired both
  lacks "$(b exec both ls /sys/class/net)" eth1
  fails serves "$address" both
  # The way out goes over to what is left.
  b network connect wired both
  b network disconnect bridge both
  contains "$(b exec both ip route)" "default via 10.94.0.1"
  b rm -f both
}

two_on_one_parent() {
  b network create -d macvlan --subnet 10.96.0.0/24 -o parent="$wire" second
  refused 1 'already using the parent' b network create -d macvlan -o parent="$wire" -o macvlan_mode=passthru x
  b run --rm --network second box true
  b network rm second wired
  ip link show "$wire"
}

private_mode() {
  b network create -d macvlan --subnet 10.94.0.0/24 --gateway 10.94.0.1 -o parent="$wire" -o macvlan_mode=private apart
  serve one --network apart
  serve two --network apart
  eventually 5 serves "$(address_of one)" one
  eventually 5 serves "$(address_of two)" two
  fails asks two "$(address_of one)"
  b rm -f one two
  b network rm apart
}

passthru_mode() {
  b network create -d macvlan --subnet 10.94.0.0/24 --gateway 10.94.0.1 -o parent="$wire" -o macvlan_mode=passthru whole
  refused 1 'mode passthru' b network create -d macvlan -o parent="$wire" x
  serve one --network whole
  eventually 5 serves "$(address_of one)" one
  refused 125 'one container' b run --rm --network whole box true
  b rm -f one
  b run --rm --network whole box true
  b network rm whole
}

without_a_parent() {
  b network create -d macvlan alone
  is 1 "$(made_links | grep -c dm-)"
  serve one --network alone
  b run -d --name two --network alone box sleep 1000
  is one "$(asks two one)"
  is "" "$(b exec two ip route | grep default || true)"
  fails b exec two nslookup -timeout=2 example.com
  kill -9 "$(engine_pid main)"
  engine_start main
  is one "$(asks two one)"
  b rm -f one two
  engine_end main
  is "" "$(made_links)"
  engine_start main
  is 1 "$(made_links | grep -c dm-)"
  b network rm alone
  is "" "$(made_links)"
  # An internal one has no wire, whatever it is given.
  b network create -d macvlan --internal -o parent="$wire" inner
  is 1 "$(made_links | grep -c dm-)"
  b network rm inner
}

# A kill between parent and record, and a parent that goes away and comes back.
parents_come_and_go() {
  local name=dm-0123456789ab owner
  b network create -d macvlan alone
  owner=$(ip -o link show "$(made_links | grep -o 'dm-.*')" | grep -o 'berth parent of [0-9a-f]*')
  kill -9 "$(engine_pid main)"
  ip link add "$name" type veth peer name "${name/dm/dp}"
  ip link set "$name" alias "$owner"
  engine_start main
  fails ip link show "$name" 2>/dev/null
  b run --rm --network alone box true
  b network rm alone
  ip link add "$name" type veth peer name "${name/dm/dp}"
  ip link set "$name" up
  b network create -d macvlan --subnet 10.97.0.0/24 -o parent="$name" fickle
  ip link delete "$name"
  refused 125 "$name is not on this host" b run --rm --network fickle box true
  ip link add "$name" type veth peer name "${name/dm/dp}"
  refused 125 "$name is down" b run --rm --network fickle box true
  ip link set "$name" up
  b run --rm --network fickle box true
  b network rm fickle
  ip link delete "$name"
}

vlan() {
  if ! ip link add link "$wire" name "$probe" type vlan id 10 2>/dev/null; then skip "this kernel has no VLANs"; fi
  ip link delete "$probe"
  b network create -d macvlan --subnet 10.98.0.0/24 -o parent="$wire.20" tagged
  ip -d link show "$wire.20" | grep 'vlan.*id 20'
  b network create -d macvlan --subnet 10.99.0.0/24 -o parent="$wire.20" tagged2
  b run --rm --network tagged box true
  b network rm tagged
  ip link show "$wire.20"
  b network rm tagged2
  fails ip link show "$wire.20" 2>/dev/null
}

engine_start main || exit 1
image_make
case_of "what cannot be is refused in a sentence" refusals
case_of "containers are neighbours on the parent's wire, also after kill -9 of the engine" on_the_wire
case_of "a container is connected and disconnected while it runs" connected_while_it_runs
case_of "two networks share a parent" two_on_one_parent
case_of "private mode keeps containers apart" private_mode
case_of "passthru mode is for one container" passthru_mode
case_of "a network without a parent leads nowhere" without_a_parent
case_of "parents come and go" parents_come_and_go
case_of "a VLAN is made and taken away" vlan
unplug
finish
