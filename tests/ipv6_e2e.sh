#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Networks with IPv6 by command line: addresses, names, ways out, published ports, what may pass, and that it is all there
# again after kill -9 of the engine and after a flush of the rules.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
. "$(dirname "$0")/lib.sh"

# Where Docker's module br_netfilter has the rules called for bridges, ::1 cannot lead to a container.
called=$(cat /proc/sys/net/bridge/bridge-nf-call-ip6tables 2>/dev/null || echo 0)
[ -e /proc/sys/net/ipv6 ] || { echo "SKIP: this kernel has no IPv6"; exit 77; }

web='mkdir -p /w; hostname >/w/index.html; exec httpd -f -p [::]:80 -h /w'
address6_of() { b inspect -f "{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}} {{end}}" "$1" | cut -d' ' -f1; }

objects() {
  b network create --ipv6 --subnet 10.97.0.0/24 --subnet fd97::/64 --gateway fd97::7 --ip-range fd97::100/120 one
  is "10.97.0.0/24 10.97.0.1 fd97::/64 fd97::7 " "$(b network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{end}}' one)"
  is true "$(b network inspect -f '{{.EnableIPv6}}' one)"
  refused 1 'overlap' b network create --ipv6 --subnet fd97::/48 two
  refused 1 'create the network with --ipv6' b network create --subnet fd98::/64 two
  refused 1 'should be' b network create --ipv6 --subnet fd98::1/64 two
  refused 1 'link-local' b network create --ipv6 --subnet fe80::/64 two
  refused 1 'no room' b network create --ipv6 --subnet fd98::/127 two
  refused 1 'no matching subnet' b network create --ipv6 --subnet fd98::/64 --ip-range fd99::/80 two
  contains "$(b run --rm --network one box ip -6 -o addr show eth0)" 'fd97::100/64'
  contains "$(b run --rm --network one --ip6 fd97::55 box ip -6 -o addr show eth0)" 'fd97::55/64'
  refused 125 'no configured subnet' b run --rm --network one --ip6 fd98::55 box true
  b run -d --name holds --network one --ip6 fd97::66 box sleep 1000
  refused 125 'taken|in use' b run --rm --network one --ip6 fd97::66 box true
  contains "$(b exec holds cat /etc/hosts)" 'fd97::66'
  contains "$(b exec holds ip -6 route)" 'default via fd97::7'
  b rm -f holds
  b network rm one
}

# Without a subnet of the user's choice it is a unique local one, of the engine's own, and each network has another.
chosen() {
  b network create --ipv6 two
  b network create --ipv6 three
  local second third
  second=$(b network inspect -f '{{(index .IPAM.Config 1).Subnet}}' two)
  third=$(b network inspect -f '{{(index .IPAM.Config 1).Subnet}}' three)
  [[ $second = fd*::/64 && $third = fd*::/64 && $second != "$third" ]]
  refused 125 'user configured subnets' b run --rm --network two --ip6 "${second%/64}9" box true
  b network rm two three
}

names() {
  b network create --ipv6 six
  b run -d --name web --hostname web --network six box sh -c "$web"
  is web "$(asks six "[$(address6_of web)]")"
  contains "$(b run --rm --network six box nslookup web 127.0.0.11)" "$(address6_of web)"
  contains "$(b run --rm --network six box nslookup "$(address6_of web)" 127.0.0.11)" "web.six"
  b network create four
  lacks "$(b run --rm --network four box ip -6 addr show eth0)" inet6
  b network connect six "$(b run -d --name late --network four box sleep 1000)"
  contains "$(b exec late ip -6 route)" "default via"
  is web "$(b exec late wget -qO- "http://[$(address6_of web)]/")"
  b network disconnect six late
  lacks "$(b exec late ip -6 addr)" "fd"
  b rm -f late web
  b network rm six four
}

ports() {
  b network create --ipv6 six
  b run -d --name web --hostname web --network six -p 28180:80 -p '[::1]:28181:80' -p 127.0.0.1:28182:80 box sh -c "$web"
  eventually 5 fetched http://127.0.0.1:28180/ web
  is web "$(fetch "http://[$(b network inspect -f '{{(index .IPAM.Config 1).Gateway}}' six)]:28180/")"
  contains "$(b port web | sort)" '[::]:28180'
  if [ "$called" = 1 ]; then
    exits 7 fetch 'http://[::1]:28180/'
  else
    is web "$(fetch 'http://[::1]:28180/')" "over loopback"
    is web "$(fetch 'http://[::1]:28181/')" "on loopback alone"
  fi
  is web "$(fetch http://127.0.0.1:28182/)"
  fails fetch 'http://[::1]:28182/' 2>/dev/null
  refused 125 'already allocated' b run --rm --network six -p '[::]:28180:80' box true
  b network create plain
  refused 125 'none itself' b run --rm --network plain -p '[::1]:28189:80' box true
  is web "$(asks plain "$(b network inspect -f '{{(index .IPAM.Config 0).Gateway}}' plain):28180")"
  b network rm plain
}

gateway6() { b network inspect -f '{{(index .IPAM.Config 1).Gateway}}' six; }

survives() {
  local address at
  at="http://[$(gateway6)]:28180/"
  address=$(address6_of web)
  kill -9 "$(engine_pid main)"
  is web "$(fetch "$at")" "while no engine runs"
  engine_start main
  is web "$(fetch "$at")"
  is "$address" "$(address6_of web)"
  lacks "$(b run --rm --network six box ip -6 -o addr show eth0)" "$address"
  contains "$(b run --rm --network six box nslookup web 127.0.0.11)" "$address"
  nft flush ruleset
  eventually 5 fetched "$at" web
}

# A host on the wire, in a namespace: it reaches what is published and nothing else, even with a route to containers.
neighbour() {
  local ns=berth6-$$ host=bh6$$ peer=bp6$$ failed=0
  ip netns add "$ns"
  # shellcheck disable=SC2064
  trap "ip link delete $host; ip netns delete $ns" EXIT
  ip link add "$host" type veth peer name "$peer" netns "$ns"
  ip address add fd77::1/64 dev "$host" nodad
  ip link set "$host" up
  ip netns exec "$ns" ip address add fd77::2/64 dev "$peer" nodad
  ip netns exec "$ns" ip link set "$peer" up
  ip netns exec "$ns" ip route add "$(b network inspect -f '{{(index .IPAM.Config 1).Subnet}}' six)" via fd77::1
  is web "$(ip netns exec "$ns" curl -fsS --max-time 5 'http://[fd77::1]:28180/')" || failed=1
  ! ip netns exec "$ns" curl -fsS --max-time 3 "http://[$(address6_of web)]/" 2>/dev/null || failed=1
  ! ip netns exec "$ns" curl -fsS --max-time 3 'http://[fd77::1]:28181/' 2>/dev/null || failed=1
  # The way out is the host's address: the neighbour knows no way back to the container's.
  ip netns exec "$ns" ip route del "$(b network inspect -f '{{(index .IPAM.Config 1).Subnet}}' six)"
  contains "$(b run --rm --network six box sh -c 'ping -6 -c1 -W3 fd77::2')" '1 packets received' || failed=1
  return $failed
}

isolated() {
  b network create --ipv6 other
  b network create --ipv6 --internal inner
  fails asks other "[$(address6_of web)]"
  fails asks inner "[$(b network inspect -f '{{(index .IPAM.Config 1).Gateway}}' six)]:28180"
  is "" "$(b run --rm --network inner box sh -c 'ip -6 route | grep default')"
  b network rm other inner
}

# What a neighbour advertises as a router is not believed.
no_advertisements() {
  is "0 0" "$(b run --rm --network six box sh -c 'cat /proc/sys/net/ipv6/conf/eth0/accept_ra /proc/sys/net/ipv6/conf/eth0/autoconf' | xargs)"
}

nothing_remains() {
  b rm -f web
  b network rm six
  eventually 5 sh -c "! ip -6 route | grep -q 'dev br-'"
  lacks "$(nft list ruleset)" fd97
}

engine_start main
image_make box
case_of "networks with IPv6 are made and refused" objects
case_of "subnets are chosen" chosen
case_of "names lead to addresses of both families" names
case_of "ports are published on both families" ports
case_of "it all survives kill -9 of the engine and a flush of the rules" survives
case_of "a neighbour reaches what is published" neighbour
case_of "networks are closed to each other" isolated
case_of "router advertisements are not listened to" no_advertisements
case_of "networks leave nothing" nothing_remains
finish
