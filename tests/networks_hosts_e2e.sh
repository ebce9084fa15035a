#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Containers and other hosts. All of them are network namespaces of this test's own, the engine's host too:
#
#   client 192.0.2.2 ---- 192.0.2.1 host 198.51.100.1 ---- 198.51.100.2 other
#   2001:db8::2             2001:db8::1  2001:db8:1::1      2001:db8:1::2
#
# Published ports are reached from outside with the client's address, what is not published is not reached, and clients
# that go on where a container was end up with the one that is there now.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
[ -n "${IN_OWN_NETWORK:-}" ] || IN_OWN_NETWORK=yes exec unshare --net --mount "$0" "$@"
source "$(dirname "$0")/lib.sh"

python=/usr/bin/python3
[ -x $python ] || { echo "SKIP: $python is not there"; exit 77; }
wire=(192.0.2 198.51.100)
wire6=(2001:db8: 2001:db8:1:)
hosts=(client other)

on() { # host command...
  local host=$1
  shift
  ip netns exec "$host" "$@"
}

make_hosts() {
  local n
  mkdir -p /run/netns
  mount -t tmpfs netns /run/netns # in this test's mount namespace: it goes with it
  ip link set lo up
  echo 0 >/proc/sys/net/ipv4/ip_forward # it forwards for containers alone
  for n in 0 1; do
    ip netns add "${hosts[n]}"
    ip link add "wire$n" type veth peer name eth0 netns "${hosts[n]}"
    ip address add "${wire[n]}.1/24" dev "wire$n"
    ip address add "${wire6[n]}:1/64" dev "wire$n" nodad
    ip link set "wire$n" up
    on "${hosts[n]}" ip address add "${wire[n]}.2/24" dev eth0
    on "${hosts[n]}" ip address add "${wire6[n]}:2/64" dev eth0 nodad
    on "${hosts[n]}" ip link set lo up
    on "${hosts[n]}" ip link set eth0 up
    on "${hosts[n]}" ip route add default via "${wire6[n]}:1"
    on "${hosts[n]}" ip route add default via "${wire[n]}.1" # which leads to container addresses as well
  done
}

# --- programs --------------------------------------------------------------------------------------------------------

# Tells each client who it is, and by which address the client is known. TCP connections stay open until the client
# ends them. SCTP, which not every kernel has, is read as plain packets and noted in the log.
cat >"$work/server.py" <<'END_OF_SERVER'
import select, socket, sys
name, ports = sys.argv[1], [int(port) for port in sys.argv[2:]]
tcp, udp, connections = [], [], []
for port in ports:
    tcp.append(socket.create_server(("0.0.0.0", port)))
    udp.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp[-1].bind(("0.0.0.0", port))
    try:
        udp.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        udp[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp[-1].bind(("::", port))
    except OSError:
        udp.pop()  # a network without IPv6
sctp = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
print("ready", flush=True)
while True:
    for one in select.select(tcp + udp + connections + [sctp], [], [])[0]:
        if one in tcp:
            connection, peer = one.accept()
            connection.sendall(f"{name} {peer[0]}\n".encode())
            connections.append(connection)
        elif one in udp:
            data, peer = one.recvfrom(2000)
            one.sendto(f"{name} {peer[0]}:{peer[1]}\n".encode(), peer)
        elif one is sctp:
            packet, peer = one.recvfrom(2000)
            head = 4 * (packet[0] & 15)
            print("sctp", peer[0], int.from_bytes(packet[head + 2:head + 4], "big"), flush=True)
        else:
            try:
                data = one.recv(2000)
            except ConnectionError:
                data = b""
            if not data:
                connections.remove(one)
                one.close()
END_OF_SERVER

# The first packet of an association (RFC 9260, 3.3.2), as a kernel without SCTP can send it.
cat >"$work/sctp.py" <<'END_OF_SCTP'
import socket, struct, sys
def checksum(data):  # CRC32c
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
address, port = sys.argv[1], int(sys.argv[2])
init = struct.pack("!BBHIIHHI", 1, 0, 20, 0x1234, 65536, 1, 1, 1)
head = struct.pack("!HHI", 40000, port, 0)
packet = head + struct.pack("<I", checksum(head + b"\0\0\0\0" + init)) + init
socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(packet, (address, 0))
END_OF_SCTP

# Connects and says something every 0.1 s until the connection ends; then it says how.
cat >"$work/talker.py" <<'END_OF_TALKER'
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
connection.settimeout(0.1)
try:
    while True:
        try:
            data = connection.recv(2000)
        except TimeoutError:
            connection.sendall(b"x")
            continue
        if not data:
            break
        print(data.decode(), end="", flush=True)
except ConnectionError:
    pass
print("ended", flush=True)
END_OF_TALKER

server() { # name [flag...]: a container that runs the server on 80, 53 and 9001 to 9003
  local name=$1
  shift
  b run -d --name "$name" --cap-add NET_RAW -v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro -v "$work/server.py:/server.py:ro" \
    "$@" box $python /server.py "$name" 80 53 9001 9002 9003 >/dev/null
  eventually 20 ready "$name"
}
ready() { b logs "$1" | tail -n 1 | grep -q ready; }

tcp() { echo | on "$1" timeout 5 socat -t 1 - "TCP4:$2:$3,connect-timeout=2" 2>&1 | head -n 1; } # host address port
udp() { # host address port [source port]
  local place="UDP4:$2"
  [[ $2 != *:* ]] || place="UDP6:[$2]"
  echo x | on "$1" timeout 3 socat -t 1 - "$place:$3${4:+,sourceport=$4}" 2>/dev/null | head -n 1
}
answers_udp() { [[ $(udp "$2" "$3" "$4" "$5") == "$1 "* ]]; } # name host address port source-port
from_inside() { # container command...: on its network, with this machine's programs
  nsenter -n -t "$(b inspect -f '{{.State.Pid}}' "$1")" "${@:2}"
}
reaches() { # address port: from where it is run
  [ -n "$(echo | timeout 5 socat -t 1 - "TCP4:$1:$2,connect-timeout=2" 2>/dev/null)" ]
}
export -f reaches
tracked() { grep -F "=$1 " /proc/net/nf_conntrack; }

# --- cases -----------------------------------------------------------------------------------------------------------

published() {
  server web -p 8080:80 -p 5353:53/udp -p 9001-9003:9001-9003 -p 9001-9003:9001-9003/udp -p 7000-7002:9001-9003 -p 9100:9001/sctp
  is "web ${wire[0]}.2" "$(tcp client ${wire[0]}.1 8080)"
  is "web ${wire[0]}.2" "$(tcp client ${wire[1]}.1 8080)" "at the host's other address"
  is "web ${wire[1]}.2" "$(tcp other ${wire[1]}.1 8080)"
  is "web ${wire[0]}.2:4000" "$(udp client ${wire[0]}.1 5353 4000)"
  is "web ${wire[0]}.2" "$(tcp client ${wire[0]}.1 9003)"
  is "web ${wire[0]}.2:4001" "$(udp client ${wire[0]}.1 9002 4001)"
  is "web ${wire[0]}.2" "$(tcp client ${wire[0]}.1 7002)" "a range with other numbers"
}

published_sctp() {
  on client $python "$work/sctp.py" ${wire[0]}.1 9100
  eventually 5 logged web "sctp ${wire[0]}.2 9001"
}
logged() { b logs "$1" | grep -qx "$2"; }

published_at_one_address() {
  server one -p ${wire[0]}.1:8081:80 -p 127.0.0.1:8082:80
  is "one ${wire[0]}.2" "$(tcp client ${wire[0]}.1 8081)"
  is "one ${wire[1]}.2" "$(tcp other ${wire[0]}.1 8081)"
  contains "$(tcp other ${wire[1]}.1 8081)" refused
  contains "$(tcp client ${wire[0]}.1 8082)" refused
  b rm -f one
}

not_published() {
  local address
  address=$(address_of web)
  contains "$(tcp client ${wire[0]}.1 53)" refused
  fails on client bash -c "reaches $address 80"
  fails on other bash -c "reaches $address 9001"
  is "" "$(udp client "$address" 53 4002)"
  # The test's own means: the host itself gets through.
  reaches "$address" 80
}

networks_apart() {
  b network create apart
  b network create --internal within
  server away --network apart
  server inner --network within
  fails from_inside away bash -c "reaches $(address_of web) 80"
  fails from_inside web bash -c "reaches $(address_of away) 80"
  fails from_inside inner bash -c "reaches $(address_of web) 80"
  fails from_inside inner bash -c "reaches ${wire[0]}.2 7"
  from_inside away bash -c "reaches ${wire[0]}.1 8080" # what is published is for them as well
  fails on client bash -c "reaches $(address_of inner) 80"
  b rm -f away inner
  b network rm apart within
}

# Whether the kernel shows packets on bridges to the firewall (br_netfilter) or not.
published_for_neighbours() {
  local on switch=/proc/sys/net/bridge/bridge-nf-call-iptables
  server near
  for on in 0 1; do
    [ ! -e $switch ] || echo $on >$switch
    from_inside near bash -c "reaches ${wire[0]}.1 8080" || { echo "not from its neighbour, br_netfilter $on"; return 1; }
    from_inside web bash -c "reaches ${wire[0]}.1 8080" || { echo "not from the container itself, br_netfilter $on"; return 1; }
  done
  b rm -f near
}

# Outside they are known by the host's address.
outbound() {
  local server
  ip netns exec client $python "$work/server.py" outside 7 >/dev/null &
  server=$!
  # shellcheck disable=SC2064 # now
  trap "kill $server" EXIT
  eventually 5 reaches ${wire[0]}.2 7
  is "outside ${wire[0]}.1" "$(echo | from_inside web timeout 5 socat -t 1 - TCP4:${wire[0]}.2:7 | head -n 1)"
  b network create --internal within
  b run -d --name inner --network within box sleep 1000
  fails from_inside inner bash -c "reaches ${wire[0]}.2 7"
  b rm -f inner
  b network rm within
}

# --- clients that go on, from the port that they have ---

udp_follows() { # how the container goes and comes...
  local before
  server talk -p 5454:53/udp
  before=$(address_of talk)
  is "talk ${wire[0]}.2:4100" "$(udp client ${wire[0]}.1 5454 4100)"
  "$@"
  eventually 20 ready talk
  [ "$(address_of talk)" != "$before" ] || { echo "the container has the address that it had: that shows nothing"; return 1; }
  eventually 5 answers_udp talk client ${wire[0]}.1 5454 4100
  is "" "$(tracked "$before" || true)" "what the kernel tracks of the earlier address"
  b rm -f talk
}
# Over IPv6 as well; the containers of this network have both families.
udp6_follows() { # how the container goes...
  local before
  b network create --ipv6 six >/dev/null
  server talk -p 5454:53/udp --network six
  before=$(address6_of talk)
  is "talk ${wire6[0]}:2:4100" "$(udp client ${wire6[0]}:1 5454 4100)"
  [ -n "$(tracked6 "$before")" ] || { echo "the kernel does not track it: that shows nothing"; return 1; }
  "$@"
  server talk -p 5454:53/udp --network six
  [ "$(address6_of talk)" != "$before" ] || { echo "the container has the address that it had: that shows nothing"; return 1; }
  eventually 5 answers_udp talk client ${wire6[0]}:1 5454 4100
  is "" "$(tracked6 "$before" || true)" "what the kernel tracks of the earlier address"
  b rm -f talk
  b network rm six
}
address6_of() { b inspect -f '{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}' "$1"; }
tracked6() { tracked "$($python -c 'import ipaddress, sys; print(ipaddress.ip_address(sys.argv[1]).exploded)' "$1")"; }
goes_for_good() {
  b rm -f talk
  udp client ${wire6[0]}:1 5454 4100 || true
}

goes_at_once() { b restart -t 0 talk; }
goes_for_a_while() {
  b stop -t 0 talk
  for _ in 1 2 3; do udp client ${wire[0]}.1 5454 4100 || true; done
  tracked ${wire[0]}.2 | grep -q dport=5454 || { echo "the client was not heard"; return 1; }
  b start talk
}
goes_without_an_engine() {
  local pid
  pid=$(b inspect -f '{{.State.Pid}}' talk)
  kill -9 "$(engine_pid main)"
  kill -9 "$pid"
  eventually 10 gone "$pid"
  udp client ${wire[0]}.1 5454 4100 || true
  engine_start main
  eventually 10 state_is talk exited
  b start talk
}
another_comes() {
  b rm -f talk
  udp client ${wire[0]}.1 5454 4100 || true
  server talk -p 5454:53/udp
}

# What the host itself asks others is not touched by a port of the same number that is published.
others_answers_stay() {
  echo x | socat -t 0.1 - "UDP4:${wire[0]}.2:77,sourceport=4200" || true
  asked_client
  b run -d --name seven -p 77:7/udp box sleep 1000
  asked_client
  b rm -f seven
}
asked_client() { tracked ${wire[0]}.2 | grep -q '^[^=]* udp .*dport=77 ' || { echo "not tracked"; return 1; }; }

# This host did not forward before: between its wires it does not now.
no_router() {
  local server
  is "1 1" "$(cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding | xargs)"
  ip netns exec other $python "$work/server.py" beyond 7 >/dev/null &
  server=$!
  # shellcheck disable=SC2064 # now
  trap "kill $server" EXIT
  eventually 5 reaches ${wire[1]}.2 7
  fails on client bash -c "reaches ${wire[1]}.2 7"
  is "" "$(udp client ${wire6[1]}:2 7)"
  # The rules are what keeps them apart.
  nft insert rule inet "$(table)" forward iifname wire0 accept
  nft insert rule inet "$(table)" forward oifname wire0 accept
  on client bash -c "reaches ${wire[1]}.2 7"
}
table() { nft list tables inet | awk '/berth_/ && !found {print $3; found = 1}'; }
forwarding_ends() { # with the last network
  engine_end main
  is "0 0" "$(cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding | xargs)"
  engine_start main
}

# Containers run on a bridge whose network's record cannot be read any more: what was forbidden stays so.
record_damaged() {
  local address id
  id=$(b network create --subnet 10.71.0.0/24 broken)
  server lost --network broken
  address=$(address_of lost)
  reaches "$address" 80
  rewrite_network "$id" "'x' || record"
  eventually 10 nothing_passes "br-${id:0:12}"
  fails on client bash -c "reaches $address 80"
  fails from_inside lost bash -c "reaches ${wire[1]}.2 7"
  engine_end main # with no container but this one
  nothing_passes "br-${id:0:12}"
  engine_start main
  rewrite_network "$id" "substr(record, 2)"
  b rm -f lost
  b network rm broken
}
rewrite_network() { # id expression
  kill -9 "$(engine_pid main)"
  $python -c 'import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute(f"UPDATE networks SET record = {sys.argv[3]} WHERE id = ?", (sys.argv[2],))
database.commit()' "$work/main/data/meta.db" "$@"
  engine_start main
}
nothing_passes() { nft list ruleset | grep "oifname != \"$1\" drop" >/dev/null; } # not -q: nft would be told of a broken pipe

# A container makes itself an IPv6 address on a network without IPv6, and writes to the bridge.
no_ipv6_through() {
  local bridge before
  b network create --internal plain4
  server sly --network plain4
  bridge=br-$(b network inspect -f '{{.Id}}' plain4 | cut -c1-12)
  from_inside sly $python -c 'import pathlib; pathlib.Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("0")'
  from_inside sly ip address add 2001:db8:77::5/64 dev eth0 nodad
  from_inside sly ip neigh add fe80::1 lladdr "$(ip -o link show "$bridge" | grep -o "ether [0-9a-f:]*" | cut -d" " -f2)" dev eth0
  from_inside sly ip -6 route add default via fe80::1 dev eth0
  before=$(knocks)
  for _ in 1 2 3; do echo x | from_inside sly socat -t 0.2 - "UDP6-SENDTO:[${wire6[0]}:2]:9" || true; done
  is "$before" "$(knocks)" "packets that the client heard"
  echo x | socat -t 0.2 - "UDP6-SENDTO:[${wire6[0]}:2]:9" # the means: it hears those of others
  [ "$before" != "$(knocks)" ]
  b rm -f sly
  b network rm plain4
}
knocks() { on client awk '$1 == "Udp6NoPorts" {print $2}' /proc/net/snmp6; } # where nobody listens

bound_elsewhere() {
  b network create -o com.docker.network.bridge.host_binding_ipv4=127.0.0.1 bound
  server home --network bound -p 8090:80
  is 127.0.0.1:8090 "$(b port home 80)"
  reaches 127.0.0.1 8090
  contains "$(tcp client ${wire[0]}.1 8090)" refused
  b rm -f home
  b network rm bound
}

# What the host itself forbids stays forbidden, and its user is told.
host_forbids() {
  local server bridge
  ip netns exec client $python "$work/server.py" outside 7 >/dev/null &
  server=$!
  # shellcheck disable=SC2064 # now
  trap "kill $server; nft delete table ip strict 2>/dev/null || true" EXIT
  eventually 5 reaches ${wire[0]}.2 7
  from_inside web bash -c "reaches ${wire[0]}.2 7"
  nft -f - <<<"table ip strict { chain through { type filter hook forward priority 0; policy drop; }; }"
  fails from_inside web bash -c "reaches ${wire[0]}.2 7"
  contains "$(b info 2>&1)" "chain ip strict through drops forwarded packets"
  bridge=$(cat "$work/main/bridge")
  nft insert rule ip strict through iifname "$bridge" accept # as it says
  nft insert rule ip strict through oifname "$bridge" accept
  from_inside web bash -c "reaches ${wire[0]}.2 7"
  kill -9 "$(engine_pid main)"
  engine_start main
  grep -q "chain ip strict through drops" "$work/main/engine.log"
  nft delete table ip strict
  lacks "$(b info 2>&1)" "ip strict"
}

tcp_ends() { # how the container goes...
  local talker
  server talk -p 5455:80
  ip netns exec client $python "$work/talker.py" ${wire[0]}.1 5455 >"$work/talk" &
  talker=$!
  # shellcheck disable=SC2064 # now
  trap "kill $talker 2>/dev/null || true" EXIT
  eventually 5 grep -q "talk ${wire[0]}.2" "$work/talk"
  local before
  before=$(address_of talk)
  "$@"
  eventually 10 grep -q ended "$work/talk"
  is "" "$(tracked "$before" || true)" "what the kernel tracks of the earlier address"
  b rm -f talk
}
is_killed() { b kill talk; }
is_replaced() { b rm -f talk && server talk -p 5455:80; }
is_not_seen_to_end() {
  local pid
  pid=$(b inspect -f '{{.State.Pid}}' talk)
  kill -9 "$(engine_pid main)"
  kill -9 "$pid"
  eventually 10 gone "$pid"
  engine_start main
  eventually 10 state_is talk exited
}
loses_its_network() { b network disconnect bridge talk; }

make_hosts || exit 1
engine_start main || exit 1
image_make
case_of "published ports are reached from other hosts, with their addresses" published
case_of "SCTP too" published_sctp
case_of "what is published at one address is at no other" published_at_one_address
case_of "what is not published is out of reach, and so are containers' addresses" not_published
case_of "networks are apart" networks_apart
case_of "what is published is reached by neighbours and by the container itself" published_for_neighbours
case_of "containers reach out with the host's address, and internal ones do not" outbound
case_of "a UDP client reaches the container after a restart" udp_follows goes_at_once
case_of "a UDP client that asked in between reaches it too" udp_follows goes_for_a_while
case_of "a UDP client reaches another container that has the port" udp_follows another_comes
case_of "a UDP client reaches a container that ended without an engine" udp_follows goes_without_an_engine
case_of "a UDP client reaches another container over IPv6 too" udp6_follows goes_for_good
case_of "a host that forwards for containers is no router" no_router
case_of "what the host asks others stays, whatever is published" others_answers_stay
case_of "what the host's own rules forbid is told" host_forbids
case_of "no IPv6 passes a network that has none" no_ipv6_through
case_of "a network's ports are published where it says" bound_elsewhere
case_of "a TCP connection to a killed container ends" tcp_ends is_killed
case_of "a TCP connection to a replaced container ends" tcp_ends is_replaced
case_of "a TCP connection to a container that ended without an engine ends" tcp_ends is_not_seen_to_end
case_of "a TCP connection to a container without its network ends" tcp_ends loses_its_network
b rm -f web
case_of "a bridge whose network cannot be read lets nothing pass" record_damaged
case_of "the host forwards no more when the engine ends" forwarding_ends
finish
