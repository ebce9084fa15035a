#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the load balancer beside Debian's nginx, HAProxy and Caddy: interleaved, on this machine, now.

  bench/proxy.py [--only REGEX] [--rounds N] [--bin DIR] [--record]

As bench/run.py, whose tables it has. Each proxy has one worker (Caddy GOMAXPROCS=1) on the first core; clients and
backends are on the second, in a network of their own. So the rates are bounded by what asks and answers, too: what compares is
the proxy's own CPU time a request (utime + stime of all its processes). proxy_sides.py has the configurations, and how a
change is made at each. Needs root, two cores, and ninja -C build/release berth-proxy proxy_backend proxy_client.

"change" is the time from the change's start until a request on a new connection reaches the new backend: Berth a PUT, on disk
when it is answered; HAProxy `set map` at its socket, which is lost when it ends, and only among backends that there are; nginx
the map's file anew and a reload; Caddy a PATCH at its API, which loads all anew. What a peer takes minutes for is left out.
"""
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import run  # noqa: E402  (the other benchmark, for its tables)
from proxy_sides import BACKENDS, HOST, LOAD_CORE, Berth, Caddy, Haproxy, Nginx, host_of  # noqa: E402

SECONDS = 3
GIB = 1 << 30
RATE, CHANGES = 4000, 1000  # a second


class Proxies(run.Bench):
    title = "Load balancer"
    needs = ("wrk", "nginx", "haproxy", "caddy", "openssl", "taskset", "ip")

    def set_up(self):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.directory / "key.pem",
                        "-out", self.directory / "cert.pem", "-days", "3", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"], check=True,
                       stderr=subprocess.DEVNULL)
        # They become another user, which has to read below here.
        self.directory.chmod(0o755)
        (self.directory / "key.pem").chmod(0o644)
        os.sched_setaffinity(0, {int(LOAD_CORE)})
        self.backend = subprocess.Popen([self.bin / "proxy_backend", *map(str, BACKENDS)])
        self.sides = [Berth(self.directory / "berth", 8000, self.bin / "berth-proxy"), Nginx(self.directory / "nginx", 8010),
                      Haproxy(self.directory / "haproxy", 8020), Caddy(self.directory / "caddy", 8030)]
        self.unkept = Berth(self.directory / "unkept", 8040, self.bin / "berth-proxy", store=False)
        self.unkept.name = "Berth, no store"

    def tear_down(self):
        for side in [*self.sides, getattr(self, "unkept", None)]:
            if side:
                side.stop()
        if hasattr(self, "backend"):
            self.backend.kill()
        self.sides = []
        super().tear_down()

    def started(self, routes=0, sides=None):
        for side in sides or self.sides:
            side.start(routes)

    def stopped(self):
        for side in [*self.sides, self.unkept]:
            side.stop()

    def client(self, *words):
        return subprocess.run([self.bin / "proxy_client", *map(str, words)], stdout=subprocess.PIPE, check=True, text=True).stdout.split()

    def lines_of(self, names, samples, must=None):
        """`samples`: side -> tuples, of which each `names` (name, unit, digits) is one."""
        for at, (name, unit, digits) in enumerate(names):
            self.line(name, unit, (must or {}).get(name, {}), {side: [one[at] for one in values] for side, values in samples.items()}, digits)

    # -- requests

    def wrk(self, side, *options):
        """Microseconds a request, and those of the proxy's CPU."""
        before = side.cpu()
        output = subprocess.run(["wrk", "-t1", "-c64", "--timeout", "10s", f"-d{SECONDS}s", "-H", f"Host: {HOST}", *options, f"http://127.0.0.1:{side.port}/"],
                                stdout=subprocess.PIPE, check=True, text=True).stdout
        used = side.cpu() - before
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
        if "Non-2xx" in output or (errors and int(errors.group(1)) + int(errors.group(4)) > 0):
            raise RuntimeError(f"{side.name}: {output}")
        count = int(re.search(r"(\d+) requests in", output).group(1))
        return 1e6 / float(re.search(r"Requests/sec:\s*([\d.]+)", output).group(1)), 1e6 * used / count

    def requests(self):
        self.started()
        samples = self.interleaved({side.name: lambda side=side: self.wrk(side) for side in self.sides}, self.options.rounds)
        cpu = "the proxy's CPU a request, 1 KiB, kept connections"
        self.lines_of((("a request (1 / requests a second), 1 KiB, 64 kept connections", "us", 2), (cpu, "us", 2)), samples, {cpu: {"nginx": 1, "HAProxy": 1}})
        self.stopped()

    def connections(self):
        self.started()
        samples = self.interleaved({side.name: lambda side=side: self.wrk(side, "-H", "Connection: close") for side in self.sides}, self.options.rounds)
        self.lines_of((("a new connection and a request (1 / rate), 64 at once", "us", 1), ("the proxy's CPU a new connection and a request", "us", 1)), samples)
        self.stopped()

    def handshakes(self):
        self.started()

        def one(side):
            before, begin = side.cpu(), time.perf_counter()
            count = int(self.client("connections", side.tls_port, HOST, 2, 8)[0])
            took = time.perf_counter() - begin
            return 1e6 * took / count, 1e6 * (side.cpu() - before) / count

        samples = self.interleaved({side.name: lambda side=side: one(side) for side in self.sides}, self.options.rounds)
        self.lines_of((("a full TLS 1.3 handshake, P-256, and a request (1 / rate)", "us", 1), ("the proxy's CPU a handshake and a request", "us", 1)), samples)
        self.stopped()

    def bodies(self):
        self.started()

        def one(side, what):
            side.forget_peak()
            before = side.cpu()
            took = float(self.client(what, side.port, HOST, GIB)[0])
            return 1e6 * took / 1024, side.cpu() - before, side.memory("VmHWM")

        for what, way in (("get", "down"), ("post", "up")):
            samples = self.interleaved({side.name: lambda side=side: one(side, what) for side in self.sides}, max(2, self.options.rounds // 2))
            self.lines_of(((f"a GiB {way}, a MiB of it", "us", 0), (f"the proxy's CPU for a GiB {way}", "s", 2), (f"its memory at most, a GiB {way}", "MiB", 1)), samples)
        self.stopped()

    # -- routes

    def changed(self, side, host, turn):
        """Milliseconds from a change's start until a new connection sees it."""
        port = BACKENDS[turn % 2]
        begin = time.perf_counter()
        side.change(host, port)
        while side.seen(host) != port:
            if time.perf_counter() - begin > 120:
                raise RuntimeError(f"{side.name}: a change is not seen")
        return 1000 * (time.perf_counter() - begin)

    def changes(self):
        """And the memory of routes, which are there for it."""
        berth, nginx, haproxy, caddy = self.sides
        memory = {}
        for count, sides, rounds in ((1000, [berth, self.unkept, nginx, haproxy, caddy], 30), (100_000, [berth, self.unkept, nginx, haproxy], 5),
                                     (1_000_000, [berth, nginx, haproxy], 2)):
            samples = {}
            for side in sides:
                side.start()
                empty = side.memory()
                side.stop()
                side.start(count)
                time.sleep(1)
                memory.setdefault(count, {})[side.name] = [1024 * 1024 * (side.memory() - empty) / count]
                side.turn = 0
            quick = [side for side in sides if side.name not in ("nginx", "Caddy")]
            for turn in range(rounds):
                for side in sides:
                    for _ in range(100 // rounds if side in quick else 1):
                        side.turn += 1
                        samples.setdefault(side.name, []).append(self.changed(side, host_of(count // 2), side.turn))
            self.line(f"change until seen, {count:,} routes", "ms", {"nginx": 5} if count == 100_000 else {}, samples, 2)
            self.stopped()
        for count, values in memory.items():
            if count > 1000:
                self.line(f"resident memory a route, of {count:,}", "bytes", {}, values, 0)

    def under_changes(self):
        """At a fixed rate, whether or not answers come, with 100,000 routes, while others of them change and while none does."""
        berth, _, haproxy, _ = self.sides
        sides = [berth, self.unkept, haproxy]
        self.started(100_000, sides)
        reached = {}

        def one(side, changing):
            over, made = threading.Event(), []
            thread = threading.Thread(target=self.change_at_rate, args=(side, over, made), daemon=True)
            if changing:
                thread.start()
            begin = time.perf_counter()
            _, half, late, later, _ = map(float, self.client("rate", side.port, host_of(7), RATE, 4, 64))
            if changing:
                over.set()
                thread.join()
                if not made or isinstance(made[-1], Exception):
                    raise RuntimeError(f"{side.name}: no changes: {made}")
                reached.setdefault(side.name, []).append(len(made) / (time.perf_counter() - begin))
            return half / 1000, late / 1000, later / 1000

        for changing in (False, True):
            samples = self.interleaved({side.name: lambda side=side: one(side, changing) for side in sides}, self.options.rounds)
            what = f"while {CHANGES:,} routes a second change" if changing else "while no route changes"
            self.lines_of([(f"{part} of {RATE:,} requests a second, {what}", "ms", 3) for part in ("p50", "p99", "p99.9")], samples)
        self.line(f"a change, of those (1 / reached rate; {CHANGES:,} wanted)", "us", {},
                  {name: [1e6 / one for one in values[1:]] for name, values in reached.items()}, 0)
        self.stopped()

    def change_at_rate(self, side, over, made):
        begin = time.perf_counter()
        try:
            while not over.is_set():
                side.change(host_of(1000 + len(made) % 90_000), BACKENDS[len(made) % 2])
                made.append(True)
                late = begin + len(made) / CHANGES - time.perf_counter()
                if late > 0:
                    time.sleep(late)
        except (OSError, RuntimeError) as error:
            made.append(error)


if __name__ == "__main__":
    if not os.environ.get("BERTH_BENCH_NETWORK"):
        os.execvpe("unshare", ["unshare", "--net", "--", sys.executable, *sys.argv], {**os.environ, "BERTH_BENCH_NETWORK": "own"})
    run.main(Proxies, ("requests", "connections", "handshakes", "bodies", "changes", "under_changes"), __doc__, 5)
