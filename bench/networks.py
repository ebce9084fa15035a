#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures published ports: requests, connections and bytes through them, beside Docker.

  bench/networks.py [--only REGEX] [--rounds N] [--bin DIR] [--record]

As bench/run.py, whose peers and tables it has. The same server runs in a container of each side, with this machine's /usr.
"elsewhere" is another host: a network namespace at the end of a veth pair; "loopback" is 127.0.0.1 on the host itself. Docker
sets a policy that drops what is forwarded for others than itself; for the time of the measurement its chain accepts Berth's bridge.
"""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import run  # noqa: E402  (the other benchmark, for its sides and tables)

PYTHON = "/usr/bin/python3"
SECONDS = 3
HOST, ELSEWHERE = "198.18.77.1", "198.18.77.2"
NAMESPACE = WIRE = f"bench{os.getpid() % 10**8}"

# Answers each head with one response (port 80), and sends zeros to whoever connects until he goes (port 81).
SERVER = r'''
import select, socket
http, raw = (socket.create_server(("0.0.0.0", port), backlog=1024) for port in (80, 81))
poll = select.epoll()
for one in (http, raw):
    poll.register(one, select.EPOLLIN)
clients, body = {}, b"x" * 100
answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + body
zeros = bytes(1 << 20)
print("ready", flush=True)
while True:
    for number, events in poll.poll():
        if number == http.fileno():
            client = http.accept()[0]
            clients[client.fileno()] = client
            poll.register(client, select.EPOLLIN)
        elif number == raw.fileno():
            client = raw.accept()[0]
            try:
                while True:
                    client.sendall(zeros)
            except OSError:
                client.close()
        else:
            client = clients[number]
            try:
                asked = client.recv(65536)
                closes = b"Connection: close" in asked
                if asked:
                    client.sendall(answer * asked.count(b"\r\n\r\n"))
            except OSError:
                asked = b""
            if not asked or closes:
                poll.unregister(number)
                clients.pop(number).close()
'''

# Prints how many seconds a gibibyte takes.
READER = r'''
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
buffer, left = bytearray(1 << 20), 1 << 30
begin = time.perf_counter()
while left > 0:
    left -= connection.recv_into(buffer)
print(time.perf_counter() - begin)
'''


class Networks(run.Bench):
    title = "Published ports"
    needs = ("wrk", "ip", "nft")

    def set_up(self):
        super().set_up()
        self.sides = [side for side in self.sides if side.name != "podman"]
        for words in (["netns", "add", NAMESPACE], ["link", "add", WIRE, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE],
                      ["address", "add", f"{HOST}/24", "dev", WIRE], ["link", "set", WIRE, "up"],
                      ["-n", NAMESPACE, "address", "add", f"{ELSEWHERE}/24", "dev", "eth0"], ["-n", NAMESPACE, "link", "set", "eth0", "up"]):
            subprocess.run(["ip", *words], check=True)
        (self.directory / "server.py").write_text(SERVER)
        (self.directory / "reader.py").write_text(READER)
        self.ports, self.opened = {}, []
        for number, side in enumerate(self.sides):
            http, raw = 28480 + 2 * number, 28481 + 2 * number
            mounts = [word for tree in ("/usr", "/lib", "/lib64") for word in ("-v", f"{tree}:{tree}:ro")]
            container = side.output("run", "-d", "--label", run.LABEL, *mounts, "-v", f"{self.directory}/server.py:/server.py:ro",
                                    "-p", f"{http}:80", "-p", f"{raw}:81", run.IMAGE, PYTHON, "/server.py").splitlines()[-1]
            for _ in range(100):
                if "ready" in side.output("logs", container):
                    break
                time.sleep(0.1)
            self.ports[side.name] = (http, raw)
        self.open_policies()

    def open_policies(self):
        bridge = next((side.output("network", "inspect", "-f", '{{index .Options "com.docker.network.bridge.name"}}', "bridge")
                       for side in self.sides if side.name == "Berth"), None)
        listed = subprocess.run(["nft", "list", "chain", "ip", "filter", "FORWARD"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                check=False).stdout
        if not bridge or "policy drop" not in listed:
            return
        for word in ("iifname", "oifname"):
            added = subprocess.check_output(["nft", "-e", "-a", "insert", "rule", "ip", "filter", "FORWARD", word, bridge, "accept"], text=True)
            self.opened.append(re.search(r"# handle (\d+)", added).group(1))

    def tear_down(self):
        for handle in getattr(self, "opened", []):
            subprocess.run(["nft", "delete", "rule", "ip", "filter", "FORWARD", "handle", handle], check=False)
        subprocess.run(["ip", "netns", "delete", NAMESPACE], stderr=subprocess.DEVNULL, check=False)
        super().tear_down()

    def measure(self, name, unit, value, must=None, digits=1):
        for place, words, address in (("from elsewhere", ["ip", "netns", "exec", NAMESPACE], HOST), ("over loopback", [], "127.0.0.1")):
            actions = {side.name: lambda ports=self.ports[side.name]: value(words, address, ports) for side in self.sides}
            self.line(f"{name}, {place}", unit, must or {}, self.interleaved(actions, self.options.rounds), digits)

    def requests(self):
        self.measure("a request (1 / requests a second, wrk -t1 -c32)", "us", lambda words, address, ports: wrk(words, address, ports[0]))

    def connections(self):
        self.measure("a connection (wrk -t1 -c32, one request each)", "us",
                     lambda words, address, ports: wrk(words, address, ports[0], "-H", "Connection: close"))

    def bytes(self):
        self.measure("a GiB by one connection", "s", lambda words, address, ports: float(subprocess.check_output(
            [*words, PYTHON, str(self.directory / "reader.py"), address, str(ports[1])], text=True)), digits=2)


def wrk(words, address, port, *options):
    output = subprocess.run([*words, "wrk", "-t1", "-c32", f"-d{SECONDS}s", *options, f"http://{address}:{port}/"], stdout=subprocess.PIPE,
                            check=True, text=True).stdout
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    if "Non-2xx" in output or (errors and int(errors.group(1)) + int(errors.group(4)) > 0):
        raise RuntimeError(output)
    return 1e6 / float(re.search(r"Requests/sec:\s*([\d.]+)", output).group(1))


if __name__ == "__main__":
    run.main(Networks, ("requests", "connections", "bytes"), __doc__, 5)
