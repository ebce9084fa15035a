#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Networks by command line: places on several, names, published ports, what may pass, and that all of it is there again
# after kill -9 of the engine or of the resolver, and after a flush of the rules.
. "$(dirname "$0")/lib.sh"

objects() {
  local id
  id=$(b network create --subnet 10.91.0.0/24 --ip-range 10.91.0.128/25 --gateway 10.91.0.7 --label k=v one)
  is "10.91.0.0/24 10.91.0.7" "$(b network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}' one)"
  is "$id" "$(b network inspect -f '{{.Id}}' "${id:0:10}")"
  refused 1 'already exists' b network create one
  refused 1 'overlap' b network create --subnet 10.91.0.0/16 two
  refused 1 'should be' b network create --subnet 10.92.0.1/24 two
  refused 1 'plugin|driver' b network create -d nosuch two
  refused 1 'pre-defined' b network rm bridge
  is "10.91.0.128" "$(b run --rm --network one box sh -c 'ip -4 -o addr show eth0' | grep -o '10\.91\.0\.[0-9]*' | sed -n 1p)"
  b network rm one
  refused 1 'not found' b network inspect one
}

several() {
  b network create front
  b network create --internal back
  b run -d --name web --hostname web --network front --network-alias www box sh -c "$web"
  b network connect --alias store back web
  is "eth0 eth1 lo" "$(b exec web ls /sys/class/net | xargs)"
  is web "$(asks front www)"
  is web "$(asks back store)"
  is web "$(asks back web)"
  fails asks bridge "$(address_of web)"
  is "" "$(b run --rm --network back box ip route | grep default || true)"
  refused 1 'already exists' b network connect back web
  refused 1 'active endpoints' b network rm back
  b network disconnect back web
  fails asks back store
  b network rm back
  b rm -f web
  b network rm front
}

ports() {
  b run -d --name pub --hostname pub -p 127.0.0.1:28080:80 -p 28090-28092:28090-28092/udp -p 28081:80 box sh -c "$web"
  eventually 5 fetched http://127.0.0.1:28080/ pub
  is pub "$(fetch http://127.0.0.1:28081/)"
  refused 125 'already allocated' b run --rm -p 28081:80 box true
  is "80/tcp -> 127.0.0.1:28080" "$(b port pub | grep 28080)"
  contains "$(nft list ruleset)" "28090-28092"
  b rm -f pub
  fails fetch http://127.0.0.1:28081/ 2>/dev/null
  lacks "$(nft list ruleset)" 28081
}

# What listens on the host's loopback alone is nobody else's business, though loopback is routed on the bridge.
loopback_is_the_hosts() {
  local server gateway failed=0 inside
  mkdir -p "$work/secret"
  echo secret >"$work/secret/file"
  python3 -m http.server 28099 --bind 127.0.0.1 --directory "$work/secret" >/dev/null 2>&1 &
  server=$!
  # shellcheck disable=SC2064 # now: the variable is this function's
  trap "kill $server" EXIT
  b run -d --name pub -p 28082:80 box sh -c "$web"
  eventually 5 fetched http://127.0.0.1:28099/file secret
  inside=(nsenter -n -t "$(b inspect -f '{{.State.Pid}}' pub)")
  gateway=$("${inside[@]}" ip route | awk '/default/ {print $3}')
  # As a container with its own network to administer can do it.
  "${inside[@]}" sh -c 'echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet'
  "${inside[@]}" ip route delete local 127.0.0.0/8 dev lo table local
  "${inside[@]}" ip route delete local 127.0.0.1 dev lo table local
  "${inside[@]}" ip route add 127.0.0.1/32 via "$gateway"
  ! "${inside[@]}" curl -fsS --max-time 3 http://127.0.0.1:28099/file 2>/dev/null || failed=1
  b rm -f pub
  return $failed
}

# A neighbour on the host's wire, in a namespace: it reaches what is published for everybody, and what is published on
# 127.0.0.1 not even with 127.0.0.1 written into its packets.
neighbour() {
  local ns=berth-$$ host=bh$$ peer=bp$$ failed=0
  b run -d --name open --hostname open -p 127.0.0.1:28085:80 -p 28086:80 box sh -c "$web"
  ip netns add "$ns"
  # shellcheck disable=SC2064
  trap "ip link delete $host; ip netns delete $ns" EXIT
  ip link add "$host" type veth peer name "$peer" netns "$ns"
  ip address add 10.213.77.1/24 dev "$host"
  ip link set "$host" up
  ip netns exec "$ns" ip address add 10.213.77.2/24 dev "$peer"
  ip netns exec "$ns" ip link set "$peer" up
  ip netns exec "$ns" sh -c "echo 1 >/proc/sys/net/ipv4/conf/$peer/route_localnet; echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
    echo 0 >/proc/sys/net/ipv4/conf/$peer/rp_filter"
  ip netns exec "$ns" ip route add 127.0.0.1/32 via 10.213.77.1
  eventually 5 fetched http://127.0.0.1:28085/ open
  is open "$(ip netns exec "$ns" curl -fsS --max-time 5 http://10.213.77.1:28086/)" || failed=1
  ! ip netns exec "$ns" curl -fsS --max-time 3 http://10.213.77.1:28085/ 2>/dev/null || failed=1
  ! ip netns exec "$ns" curl -fsS --max-time 3 http://127.0.0.1:28085/ 2>/dev/null || failed=1
  ! ip netns exec "$ns" curl -fsS --max-time 3 "http://$(address_of open)/" 2>/dev/null || failed=1
  b rm -f open
  return $failed
}

own_name_server() {
  b network create n
  b run -d --name other --network n box sleep 1000
  # Port 53 is the container's own, on every address, and names are answered all the same.
  b run --rm --network n box sh -c 'httpd -p 53 && nc -u -l -p 53 >/dev/null & sleep 0.5; nslookup other 127.0.0.11' | grep -q "$(address_of other)"
  b rm -f other
  b network rm n
}

survives() {
  b network create s
  b run -d --name xx --hostname xx --network s -p 28083:80 box sh -c "$web"
  eventually 5 fetched http://127.0.0.1:28083/ xx
  local before
  before=$(address_of xx)
  kill -9 "$(engine_pid main)"
  is xx "$(fetch http://127.0.0.1:28083/)"
  engine_start main
  is xx "$(fetch http://127.0.0.1:28083/)"
  is "$before" "$(address_of xx)"
  is xx "$(asks s xx)"
  lacks "$(b run --rm --network s box sh -c 'ip -4 -o addr show eth0')" "$before/"
}

has_run_again() { [ "$(b inspect -f '{{.RestartCount}}' "$1")" -ge "$2" ]; }
# Killed while a container is between two runs of its restart policy, whose keeper alone has its network then.
survives_between_runs() {
  b run -d --restart always --name again --network s box sh -c 'nslookup xx 127.0.0.11 >/tmp/said 2>&1 && echo found || cat /tmp/said; exit 1'
  eventually 30 has_run_again again 5 # the pauses double
  eventually 10 state_is again restarting
  kill -9 "$(engine_pid main)"
  engine_start main
  state_is again restarting
  local runs
  runs=$(b inspect -f '{{.RestartCount}}' again)
  eventually 30 has_run_again again $((runs + 2))
  is found "$(b logs again 2>&1 | sort -u)"
  b rm -f again
}

resolver_dies() {
  local pid
  pid=$(resolver_of main)
  [ -n "$pid" ]
  kill -9 "$pid"
  b run -d --name yy --network s box sleep 1000
  eventually 10 b exec yy nslookup xx 127.0.0.11
  eventually 10 b exec xx nslookup yy 127.0.0.11 # which was there before
  b rm -f yy
}

# One that hangs costs one start some seconds, and not every one.
resolver_hangs() {
  local pid begin
  pid=$(resolver_of main)
  kill -STOP "$pid"
  begin=$SECONDS
  b run --rm box true
  b run --rm box true
  b run --rm box true
  kill -CONT "$pid"
  at_most $((20 * slowness)) $((SECONDS - begin)) "seconds for three starts"
  eventually 20 b run --rm --network s box nslookup xx 127.0.0.11
}

flushed() {
  nft list tables | awk '/berth_/ {print "delete table", $2, $3}' | nft -f -
  eventually 5 fetched http://127.0.0.1:28083/ xx
  b rm -f xx
  b network rm s
}

renamed() {
  b network create rn
  b run -d --name before --network rn box sleep 1000
  b rename before after
  b run --rm --network rn box nslookup after 127.0.0.11 | grep -q "$(address_of after)"
  fails b run --rm --network rn box nslookup before 127.0.0.11
  contains "$(b network inspect rn)" '"Name": "after"'
  b rm -f after
  b network rm rn
}

# A container that ends while it is being connected gives its place back, whoever comes first.
connected_while_it_ends() {
  local round name
  b network create race
  for ((round = 0; round < 25; round++)); do
    name=short$round
    b run -d --name "$name" box sleep "0.0$((round % 10))" >/dev/null
    b network connect race "$name" 2>/dev/null || true
    b wait "$name" >/dev/null
  done
  is "{}" "$(b network inspect -f '{{json .Containers}}' race)"
  b network rm race
  for ((round = 0; round < 25; round++)); do b rm "short$round" >/dev/null; done
}

# The engine is killed while containers start: none that runs shares its address with one that came later.
addresses_are_had_once() {
  local round id addresses
  b network create once
  for ((round = 1; round <= 3; round++)); do
    for id in {1..20}; do
      (b run -d --name "once$round-$id" --network once box sleep 1000 >/dev/null 2>&1 || true) &
    done
    sleep "0.$((RANDOM % 4))"
    kill -9 "$(engine_pid main)"
    wait
    engine_start main
  done
  for id in {1..20}; do b run -d --name "once-last-$id" --network once box sleep 1000 >/dev/null; done
  addresses=$(for id in $(b ps -q --filter network=once); do
    b exec "$id" ip -4 -o addr show eth0 | grep -o '[0-9.]*/' # as it is inside, whatever the engine believes
  done)
  is "" "$(sort <<<"$addresses" | uniq -d)" "addresses that two containers have"
  for id in $(b ps -q --filter network=once); do is "$(address_of "$id")/" "$(b exec "$id" ip -4 -o addr show eth0 | grep -o '[0-9.]*/')"; done
  b ps -aq --filter network=once | xargs berth rm -f >/dev/null
  b network rm once
}

# As after a boot: keepers and containers are gone, and all start at once. The first address that the network would give
# out is one's own choice.
fixed_after_a_boot() {
  local id pid
  b network create --subnet 10.91.4.0/28 boot
  b run -d --name chosen --restart always --network boot --ip 10.91.4.2 box sleep 1000
  for id in 1 2 3 4 5 6; do b run -d --name "given$id" --restart always --network boot box sleep 1000; done
  kill -9 "$(engine_pid main)"
  eventually 10 gone "$(engine_pid main)"
  for pid in $(processes_of main); do kill -9 "$pid" 2>/dev/null || true; done
  engine_start main
  for id in chosen given1 given2 given3 given4 given5 given6; do eventually 20 state_is "$id" running; done
  is 10.91.4.2 "$(address_of chosen)"
  b rm -f chosen given1 given2 given3 given4 given5 given6
  b network rm boot
}

# Likewise: what links is started after what it links to.
links_after_a_boot() {
  local id pid
  for id in 1 2 3; do
    b run -d --name "base$id" --restart always box sleep 1000
    b run -d --name "middle$id" --restart always --link "base$id:base" box sleep 1000
    b run -d --name "top$id" --restart always --link "middle$id:middle" box sleep 1000
  done
  kill -9 "$(engine_pid main)"
  eventually 10 gone "$(engine_pid main)"
  for pid in $(processes_of main); do kill -9 "$pid" 2>/dev/null || true; done
  engine_start main
  for id in 1 2 3; do
    eventually 20 state_is "top$id" running
    knows "top$id" "$(address_of "middle$id")[[:space:]]middle .*"
    knows "middle$id" "$(address_of "base$id")[[:space:]]base .*"
  done
  b rm -f base{1..3} middle{1..3} top{1..3}
}

# What an engine left between a network's bridge and its record is gone with the next start.
unrecorded() {
  local bridge owner
  bridge=br-0123456789ab
  owner=$(ip -o link show "$(cat "$work/main/bridge")" | grep -o 'berth network of [0-9a-f]*')
  kill -9 "$(engine_pid main)"
  ip link add "$bridge" type bridge
  ip link set "$bridge" alias "$owner/0123456789ab"
  engine_start main
  fails ip -o link show "$bridge" 2>/dev/null
  ip -o link show "$(cat "$work/main/bridge")"
}

knows_no() { ! hosts_of "$1" | grep -q "$2"; }

# Links of the default bridge: lines of /etc/hosts and variables, for as long as the linked container runs.
links() {
  local address variables
  refused 125 'could not get container for nobody' b run --rm --link nobody:x box true
  b run -d --name db --hostname dbhost --expose 5432 -e COLOUR=red box sleep 1000
  address=$(address_of db)
  refused 125 'host type networking' b run --rm --network host --link db box true
  b run -d --name web --link db:store -e STORE_ENV_COLOUR=blue -e OWN=1 box sleep 1000
  is '["/db:/web/store"]' "$(b inspect -f '{{json .HostConfig.Links}}' web)"
  knows web "${address}[[:space:]]store dbhost db[[:space:]]# link store"
  b exec web ping -c 1 store
  variables=$(b exec web env)
  for variable in STORE_PORT=tcp://$address:5432 STORE_PORT_5432_TCP_ADDR=$address STORE_NAME=/web/store STORE_ENV_COLOUR=blue OWN=1; do
    grep -qxF "$variable" <<<"$variables"
  done
  is "$(sort <<<"$variables" | grep STORE_)" "$(tr '\0' '\n' <"/proc/$(b inspect -f '{{.State.Pid}}' web)/environ" | sort | grep STORE_)"
  # What the container has written itself stays.
  b exec web sh -c 'echo "1.2.3.4 mine" >>/etc/hosts'
  b stop -t 0 db
  eventually 5 knows_no web store
  b run -d --name filler box sleep 1000
  b start db
  [ "$address" != "$(address_of db)" ]
  knows web "$(address_of db)[[:space:]]store dbhost db[[:space:]]# link store"
  knows web "1.2.3.4 mine"
  b rename db base
  is '["/base:/web/store"]' "$(b inspect -f '{{json .HostConfig.Links}}' web)"
  b restart -t 0 base # the line with the earlier name goes
  is 1 "$(hosts_of web | grep -c store)"
  knows web "$(address_of base)[[:space:]]store dbhost base[[:space:]]# link store"
  b stop -t 0 base web
  refused 1 'Cannot link to a non running container: /base AS /web/store' b start web
  kill -9 "$(engine_pid main)"
  engine_start main
  b start base web
  knows web "$(address_of base)[[:space:]]store dbhost base[[:space:]]# link store"
  b rm -f base
  b restart -t 0 web # its link has gone with the container
  is "" "$(b inspect -f '{{range .HostConfig.Links}}{{.}}{{end}}' web)"
  b rm -f web filler
}

# On a user's network a link is an alias that the linking container alone knows.
links_elsewhere() {
  b network create linked
  b run -d --name web --network linked --link db:store box sleep 1000
  lacks "$(hosts_of web)" store
  b run -d --name db --network linked box sleep 1000
  knows web "$(address_of db)[[:space:]]store[[:space:]]# link store"
  is '["db:store"]' "$(b inspect -f '{{json .NetworkSettings.Networks.linked.Links}}' web)"
  b exec web ping -c 1 store
  b run --rm --network linked box sh -c '! ping -c 1 store'
  b rm -f db
  lacks "$(hosts_of web)" store
  b run -d --name other --network linked box sleep 1000
  b run -d --name late box sleep 1000
  refused 1 'bad format' b network connect --link 'a:b c' linked late
  b network connect --link other:friend linked late
  knows late "$(address_of other)[[:space:]]friend[[:space:]]# link friend"
  b rm -f web other late
  b network rm linked
}

# Containers of a network without "inter-container communication" reach everything but each other, and each other where
# ports are published: at every address of the host's.
apart() {
  local gateway address
  b network create -o com.docker.network.bridge.enable_icc=false apart
  is false "$(b network inspect -f '{{index .Options "com.docker.network.bridge.enable_icc"}}' apart)"
  refused 1 'enable_icc' b network create -o com.docker.network.bridge.enable_icc=maybe apart2
  b run -d --name one --hostname one --network apart -p 28087:80 box sh -c "$web"
  address=$(address_of one)
  gateway=$(gateway_of apart)
  eventually 5 fetched "http://$address/" one
  fails asks apart one
  is one "$(asks bridge "$gateway:28087")"
  kill -9 "$(engine_pid main)"
  engine_start main
  fails asks apart "$address"
  b network connect bridge one
  is one "$(asks bridge "$(b inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' one)")"
  b rm -f one
  b network rm apart
}
gateway_of() { b network inspect -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}' "$1"; }
bridged_packets_are_filtered() { [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ]; }

apart_published() { # docs/networks.md, "What may pass"
  if bridged_packets_are_filtered; then skip "with bridge-nf-call-iptables the kernel bridges what is to go to a published port, and ports are kept apart"; fi
  b network create -o com.docker.network.bridge.enable_icc=false apart
  b run -d --name one --hostname one --network apart -p 28087:80 box sh -c "$web"
  eventually 5 fetched "http://$(address_of one)/" one
  is one "$(asks apart "$(gateway_of apart):28087")"
  is one "$(asks apart "$(bridge_address main):28087")"
  b rm -f one
  b network rm apart
}

bridge_address() { ip -o -4 address show dev "$(cat "$work/$1/bridge")" | awk '{split($4, a, "/"); print a[1]}'; }

apart_by_default() {
  engine_start icc --icc=false
  image_make
  is false "$(b network inspect -f '{{index .Options "com.docker.network.bridge.enable_icc"}}' bridge)"
  b run -d --name one --hostname one box sh -c "$web"
  eventually 5 fetched "http://$(address_of one)/" one
  fails asks bridge "$(address_of one)"
  b rm -f one
  engine_use main
}

nothing_remains() {
  local bridge pid
  b network create left
  bridge=br-$(b network inspect -f '{{.Id}}' left | cut -c1-12)
  ip -o link show "$bridge"
  b network prune -f
  fails ip -o link show "$bridge" 2>/dev/null
  b run --rm box true
  pid=$(resolver_of main)
  engine_end main
  eventually 20 gone "$pid"
  engine_start main # the end of this run wants to see it alive
}

engine_start main || exit 1
image_make
case_of "networks are made, refused, found and removed" objects
case_of "a container on several networks" several
case_of "published ports" ports
case_of "the host's loopback is closed to containers" loopback_is_the_hosts
case_of "a neighbour reaches what is published for it" neighbour
case_of "a container has port 53 for itself" own_name_server
case_of "places, ports and names survive kill -9 of the engine" survives
case_of "names survive kill -9 between two runs" survives_between_runs
case_of "a resolver that dies is replaced" resolver_dies
case_of "a resolver that hangs is not waited for again and again" resolver_hangs
case_of "flushed rules come back" flushed
case_of "a renamed container has its new name" renamed
case_of "a container that ends while it is connected" connected_while_it_ends
case_of "every address is had once, whenever the engine is killed" addresses_are_had_once
case_of "a link on the default bridge" links
case_of "a link on a user's network" links_elsewhere
case_of "a network whose containers do not reach each other" apart
case_of "they reach each other's published ports" apart_published
case_of "a default network whose containers do not" apart_by_default
case_of "a fixed address is kept for its container after a boot" fixed_after_a_boot
case_of "links are made again after a boot" links_after_a_boot
case_of "a bridge without a record is cleared away" unrecorded
case_of "networks leave nothing" nothing_remains
finish
