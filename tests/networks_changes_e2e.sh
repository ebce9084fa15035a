#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Networks that a running container comes to and leaves: routes, ports and names go along. And what networks are asked
# to be, by options and subnets.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

route_of() { b exec "$1" ip route | awk '$1 == "default" {print $5}'; }
route6_of() { b exec "$1" ip -6 route | awk '$1 == "default" {print $5}'; }
address_on() { b inspect -f "{{(index .NetworkSettings.Networks \"$2\").IPAddress}}" "$1"; }

options() {
  local id
  refused 1 'neither true nor false' b network create -o com.docker.network.bridge.enable_ip_masquerade=maybe bad
  refused 1 'not an IPv4 address' b network create -o com.docker.network.bridge.host_binding_ipv4=here bad
  refused 1 'letters, digits' b network create -o com.docker.network.container_iface_prefix=a/b bad
  refused 1 'without IPv4' b network create -o com.docker.network.enable_ipv4=false bad
  refused 1 'unknown network option' b network create -o com.docker.network.nonsense=1 bad
  id=$(b network create -o com.docker.network.container_iface_prefix=lan -o com.docker.network.enable_ipv6=true chosen)
  is true "$(b network inspect -f '{{.EnableIPv6}}' "$id")"
  contains "$(b run --rm --network chosen box ls /sys/class/net)" lan0
  b network create -o com.docker.network.bridge.enable_ip_masquerade=False plain
  lacks "$(nft list ruleset | grep masquerade)" "oifname != \"br-$(b network inspect -f '{{.Id}}' plain | cut -c1-12)\""
  b network rm chosen plain
}

requests() { # which no client of ours makes
  local body
  for body in '{"Name":"x","EnableIPv4":false}' '{"Name":"x","ConfigFrom":{"Network":"y"}}' '{"Name":"x","Scope":"swarm"}' \
    '{"Name":"x","Ingress":true}' '{"Name":"x","IPAM":{"Config":[{"AuxiliaryAddresses":{"a":"10.1.1.1"}}]}}'; do
    http_json POST /v1.48/networks/create "$body" -o "$work/answer" -w '%{http_code}' >"$work/status"
    grep -qE '^(4|50[013])' "$work/status" || { echo "$body: $(cat "$work/status")"; return 1; }
    grep -q message "$work/answer"
  done
  fails b network inspect x
}

subnets() {
  local subnet
  for subnet in 127.0.0.0/8 127.9.0.0/16 0.0.0.0/8 224.0.0.0/24 240.0.0.0/8 255.0.0.0/8; do
    refused 1 "is no network's" b network create --subnet $subnet bad
  done
  for subnet in ::/64 ::ffff:0:0/96 ff02::/64 fe80::/64; do
    refused 1 "is no network's" b network create --ipv6 --subnet $subnet bad
  done
  b network create --ipv6 --subnet 10.92.0.0/29 --subnet fd92::/64 --aux-address router=10.92.0.2 --aux-address router=fd92::2 both
  is "10.92.0.3 fd92::3" "$(b run --rm --network both box ip -o addr show eth0 | awk '/10.92|fd92/ {split($4, a, "/"); print a[1]}' | xargs)"
  b network rm both
}

# A bridge of the host's own is used as it is, and stays.
foreign_bridge() {
  ip link add lan type bridge
  ip address add 10.93.0.1/24 dev lan
  b network create -o com.docker.network.bridge.name=lan --subnet 10.93.0.0/24 lan
  refused 1 "lan" b network create -o com.docker.network.bridge.name=lan other
  b run -d --name one --hostname one --network lan box sh -c "$web"
  eventually 5 fetched "http://10.93.0.2/" one
  refused 1 'is no bridge' b network create -o com.docker.network.bridge.name=lo bad
  b rm -f one
  b network rm lan
  contains "$(ip -o -4 address show dev lan)" 10.93.0.1/24
  ip link delete lan
}

# From an internal network to one with a way out, and back.
ways() {
  b network create --internal back
  b network create --ipv6 front
  b run -d --name mover --hostname mover --network back -p 28098:80 box sh -c "$web"
  is "" "$(route_of mover)"
  is "" "$(b port mover)" # an internal network publishes nothing
  b network connect front mover
  is "eth1 eth1" "$(route_of mover) $(route6_of mover)"
  contains "$(b port mover)" 0.0.0.0:28098
  eventually 5 fetched http://127.0.0.1:28098/ mover
  b network disconnect front mover
  is " " "$(route_of mover) $(route6_of mover)"
  is "" "$(b port mover)"
  b network connect front mover
  eventually 5 fetched http://127.0.0.1:28098/ mover
  b rm -f mover
  # On both from the beginning: the internal one is not where ports lead.
  b create --name two --hostname two --network back -p 28098:80 box sh -c "$web"
  b network connect front two
  b start two
  eventually 5 fetched http://127.0.0.1:28098/ two
  b rm -f two
  b network rm back front
}

priorities() {
  b network create first
  b network create second
  b run -d --name chooser --network first -p 80 box sh -c "$web"
  local port
  port=$(b port chooser 80 | head -n 1)
  b network connect second chooser
  is eth0 "$(route_of chooser)"
  b network disconnect second chooser
  b network connect --gw-priority 100 second chooser
  is eth1 "$(route_of chooser)"
  is "$port" "$(b port chooser 80 | head -n 1)" # the number stays
  eventually 5 fetch -o "$work/answer" "http://127.0.0.1:${port##*:}/"
  b network disconnect second chooser
  is eth0 "$(route_of chooser)"
  is "$port" "$(b port chooser 80 | head -n 1)"
  eventually 5 fetch -o "$work/answer" "http://127.0.0.1:${port##*:}/"
  b rm -f chooser
  b network rm first second
}

# What cannot be is found before anything changes.
disconnect_refused() {
  b network create --ipv6 six
  b network create four
  b run -d --name holder --network six -p '[::1]:28097:80' box sh -c "$web"
  b network connect four holder
  refused 1 'IPv6' b network disconnect six holder
  contains "$(b port holder)" 28097
  contains "$(b network inspect -f '{{range .Containers}}{{.Name}}{{end}}' six)" holder
  refused 1 'active endpoints' b network rm six
  b network disconnect four holder
  b rm -f holder
  b network rm six four
}

# A connect that fails leaves routes and ports as they were.
connect_refused() {
  b network create -o com.docker.network.bridge.host_binding_ipv4=127.0.0.2 here
  b network create -o com.docker.network.bridge.host_binding_ipv4=127.0.0.1 there
  b run -d --name first -p 127.0.0.1:28096:80 box sleep 1000
  b run -d --name second --hostname second --network here -p 28096:80 box sh -c "$web"
  eventually 5 fetched http://127.0.0.2:28096/ second
  refused 1 '28096' b network connect --gw-priority 9 there second
  is eth0 "$(route_of second)"
  is 127.0.0.2:28096 "$(b port second 80)"
  fetched http://127.0.0.2:28096/ second
  is eth0 "$(b exec second ls /sys/class/net | grep eth)"
  b rm -f first
  b network connect --gw-priority 9 there second
  fetched http://127.0.0.1:28096/ second
  b rm -f second
  b network rm here there
}

hosts_follow() {
  local first
  b network create more
  b run -d --name named --hostname named box sleep 1000
  first=$(address_of named)
  knows named "${first}[[:space:]]named"
  b exec named sh -c 'echo "1.2.3.4 mine" >>/etc/hosts'
  b network connect more named
  knows named "$(address_on named more)[[:space:]]named"
  b network disconnect bridge named
  fails knows named "${first}[[:space:]]named"
  knows named "$(address_on named more)[[:space:]]named"
  knows named "1.2.3.4 mine"
  b rm -f named
  b network rm more
}

none_is_none() {
  b run -d --name alone --network none box sleep 1000
  refused 1 'private' b network connect bridge alone
  b rm -f alone
}

# The engine is killed between an interface and its record: after a connect there is one too many, after a disconnect one
# too few.
half_done() {
  local bridge host
  b network create half
  b run -d --name whole --network half box sleep 1000
  b run -d --name maimed box sleep 1000
  b network connect half maimed
  bridge=br-$(b network inspect -f '{{.Id}}' half | cut -c1-12)
  host=$(host_interface maimed eth1)
  kill -9 "$(engine_pid main)"
  ip link delete "$host"
  ip link add vethhalfdone type veth peer name eth1 netns "$(b_pid whole)"
  ip link set vethhalfdone master "$bridge"
  engine_start main
  fails ip -o link show vethhalfdone 2>/dev/null
  is whole "$(b network inspect -f '{{range .Containers}}{{.Name}}{{end}}' half)"
  is bridge "$(b inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' maimed)"
  b network connect half maimed
  b network connect bridge whole
  b exec maimed ping -c 1 -W 2 "$(address_on whole half)"
  b rm -f whole maimed
  b network rm half
}
b_pid() { tr -d '\0' <"$work/pid.$1"; }
host_interface() { # container interface: its other end
  local pid index
  for name in whole maimed; do b inspect -f '{{.State.Pid}}' "$name" >"$work/pid.$name"; done
  pid=$(b_pid "$1")
  index=$(nsenter -n -t "$pid" cat "/sys/class/net/$2/iflink" 2>/dev/null || nsenter -n -t "$pid" ip -o link show "$2" | grep -o '@if[0-9]*' | tr -dc 0-9)
  ip -o link | awk -F': ' -v index_="$index" '$1 == index_ {sub(/@.*/, "", $2); print $2}'
}

# The engine's own options.
engine_options() {
  local refusal
  engine_start chosen --bip=10.94.7.1/24 --fixed-cidr=10.94.7.128/25 --ip=127.0.0.3 --ip-masq=false --host-gateway-ip=10.1.2.3
  image_make
  b run -d --name one --hostname one -p 28095:80 --add-host up:host-gateway box sh -c "$web"
  is 10.94.7.128 "$(address_of one)"
  is 127.0.0.3:28095 "$(b port one 80)"
  eventually 5 fetched http://127.0.0.3:28095/ one
  fails fetch http://127.0.0.1:28095/ 2>/dev/null
  knows one "10.1.2.3[[:space:]]up"
  lacks "$(nft list ruleset | grep masquerade)" "ip saddr 10.94.7.0/24 oifname != "
  b rm -f one
  # A default bridge that would have what a network has already.
  b network create --subnet 10.95.8.0/24 taken
  engine_end chosen
  engine_start chosen --bip=10.95.8.1/24
  refusal='overlaps with the network taken'
  grep -q "$refusal" "$work/chosen/engine.log"
  is 1 "$(ip -o -4 address | grep -c '10\.95\.8\.1/')" "bridges with one address"
  b network rm taken
  for option in --ip=here --fixed-cidr=x --host-gateway-ip=y; do
    fails berthd $option --data-root "$work/none" 2>"$work/said"
    grep -q "${option#*=}" "$work/said"
  done
  engine_use main
}

subnet_of() { b network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{end}}' "$1"; }

# What networks get that name nothing.
engine_pools() {
  local option
  cat >"$work/pools.json" <<JSON
{"default-address-pools": [{"base": "10.96.0.0/22", "size": 24}, {"base": "fd96::/48", "size": 64}],
 "default-gateway": "10.96.0.77", "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1404"}}}
JSON
  engine_start pools --config-file "$work/pools.json"
  image_make
  is "10.96.0.0/24 " "$(subnet_of bridge)" "the default bridge's"
  b run -d --name one box sleep 1000
  is 10.96.0.77 "$(b inspect -f '{{.NetworkSettings.Networks.bridge.Gateway}}' one)"
  contains "$(b exec one ip route)" "default via 10.96.0.77"
  b network create first
  is "10.96.1.0/24 " "$(subnet_of first)"
  is 1404 "$(b run --rm --network first box cat /sys/class/net/eth0/mtu)" "the MTU"
  b network create --ipv6 second
  is "10.96.2.0/24 fd96::/64 " "$(subnet_of second)"
  b network create -o com.docker.network.driver.mtu=1300 third
  is "10.96.3.0/24 " "$(subnet_of third)"
  is 1300 "$(b run --rm --network third box cat /sys/class/net/eth0/mtu)" "the MTU that was asked for"
  refused 1 default-address-pools b network create fourth
  b network rm second
  b network create fourth
  is "10.96.2.0/24 " "$(subnet_of fourth)" "what was given back"
  is '10.96.0.0/22-24 fd96::/48-64 ' "$(b info -f '{{range .DefaultAddressPools}}{{.Base}}-{{.Size}} {{end}}')"
  b rm -f one
  b network rm first third fourth
  for option in --default-address-pool=base=10.1.0.0/16,size=8 --default-gateway=10 --default-network-opt=bridge; do
    fails berthd "$option" --data-root "$work/none" 2>"$work/said"
    grep -q -e "${option%%=*}" "$work/said"
  done
  engine_use main
}

engine_start main || exit 1
image_make
case_of "options are obeyed or refused" options
case_of "the engine's own options" engine_options
case_of "subnets and options out of the engine's own" engine_pools
case_of "requests for what there is not are refused" requests
case_of "subnets that are no network's are refused" subnets
case_of "a bridge of the host's own is used as it is" foreign_bridge
case_of "default routes and ports follow the networks" ways
case_of "the highest priority has the default route" priorities
case_of "a disconnect that cannot be is refused whole" disconnect_refused
case_of "a connect that cannot be changes nothing" connect_refused
case_of "a container's own lines of its hosts file follow" hosts_follow
case_of "a container without a network stays so" none_is_none
case_of "a connect or disconnect that a kill cut short is finished" half_done
finish
