#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Load on berth-proxy while everything around it changes, for an hour.

  bench/proxy_hour.py [--minutes 60] [--bin DIR] [--keep DIR] [--record]

A Redis, six backends and a proxy with two workers, in a network of their own. Clients ask by HTTP/1.1 (kept and new
connections), TLS, HTTP/2 and WebSocket, and look at every answer whole (proxy_load/clients.py). Meanwhile routes change by
the admin API and by Redis, those that are asked for among them, four of the backends are killed and come back, Redis ends
and comes back, the log is rotated, and other programs take over by USR2 (proxy_load/changes.py, and here).

Each host always has a backend that serves, so each request that fails is the proxy's failure, with two exceptions, which are
told apart: a POST that was at a backend when that was killed, which may not be repeated, and an answer whose head had gone
to the client when its backend was killed. A kept connection that is closed between two requests while one program hands over
to the next is what HTTP/1.1 has clients repeat; those are counted, too. So is who came too late because the machine gave it no time (each
client process notes how long it stood still: the proxy waits ten seconds for a head). Needs root. Nothing here is a test: but the exit code
is 1 when a request failed.
"""
import argparse
import collections
import datetime
import json
import os
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent / "proxy_load"))
from tally import ADMIN, ALWAYS, HTTP, HTTPS, KILLED, REDIS, gathered, percentiles  # noqa: E402

LOAD = ROOT / "bench/proxy_load"
SLACK = 0.3  # seconds around a kill: connections of who is killed end when the kernel comes to it, on a busy machine
LATE = 1.0
TIMED = ("no proxy: GET, kept", "GET, kept", "GET, new connection", "GET, TLS, kept", "GET, TLS, new connection", "POST 1 KB, kept",
         "change by the API, seen by a request", "change in Redis, seen by a request")


def process_facts(pid):
    """Resident memory in MiB, open descriptors, threads, seconds of CPU; None when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return {"resident": int(re.search(r"VmRSS:\s*(\d+)", status).group(1)) / 1024, "peak": int(re.search(r"VmHWM:\s*(\d+)", status).group(1)) / 1024,
                "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(re.search(r"Threads:\s*(\d+)", status).group(1)),
                "cpu": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}
    except (OSError, AttributeError):
        return None


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Hour:
    def __init__(self, options):
        self.options = options
        self.directory = Path(options.keep or tempfile.mkdtemp(prefix="berth-hour."))
        self.directory.mkdir(exist_ok=True)
        self.over = threading.Event()
        self.backends, self.load, self.redis = {}, {}, None
        self.kills = []      # (backend, when it was there for the last time, when it was gone for sure)
        self.upgrades = []   # [begin, the old one's end]
        self.outages = []    # of Redis
        self.minutes = []
        self.rotated = 0
        self.log_lines = 0
        self.notes = []
        self.random = random.Random(1)

    # -- what runs

    def spawn(self, name, *words, **more):
        with open(self.directory / f"{name}.log", "a", encoding="ascii") as log:
            return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, **more)

    def start_backend(self, port):
        self.backends[port] = self.spawn("backends", sys.executable, LOAD / "backend.py", port, self.directory / f"journal.{port}")

    def start_redis(self):
        self.redis = self.spawn("redis", "redis-server", "--port", REDIS, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", self.directory)
        self.wait_for(lambda: b"PONG" in subprocess.run(["redis-cli", "-p", str(REDIS), "ping"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout)
        (self.directory / "redis").touch()

    def start_load(self, name, program):
        self.load[name] = self.spawn(name, sys.executable, LOAD / program, name, self.directory)

    def proxies(self):
        """The processes of it, the oldest first."""
        wanted = str(self.directory / "proxy.json").encode()
        found = []
        for one in Path("/proc").iterdir():
            try:
                if one.name.isdigit() and (one / "comm").read_text() == "berth-proxy\n" and wanted in (one / "cmdline").read_bytes().split(b"\0"):
                    found.append((int((one / "stat").read_text().rsplit(")", 1)[1].split()[19]), int(one.name)))
            except OSError:
                pass
        return [pid for _, pid in sorted(found)]

    def wait_for(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError("it did not come to be")
            time.sleep(0.02)

    def set_up(self):
        if subprocess.run(["ip", "link", "set", "lo", "up"], check=False).returncode != 0:
            raise RuntimeError("no network")
        shutil.copytree(self.options.bin, self.directory / "bin", ignore=lambda _, names: [name for name in names if name != "berth-proxy"], dirs_exist_ok=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.directory / "key.pem",
                        "-out", self.directory / "cert.pem", "-days", "3", "-subj", "/CN=hour.test"], check=True, stderr=subprocess.DEVNULL)
        for port in (*ALWAYS, *KILLED):
            self.start_backend(port)
        for port in self.backends:
            self.wait_for(lambda port=port: listens(port))
        self.start_redis()
        at = self.directory
        (at / "proxy.json").write_text(json.dumps({
            "server": {"workers": 2, "accessLog": f"{at}/access.log", "deadBackendTTL": 2, "tcpTimeout": 20}, "http": {"port": HTTP, "bind": "127.0.0.1"},
            "https": {"port": HTTPS, "bind": "127.0.0.1", "cert": f"{at}/cert.pem", "key": f"{at}/key.pem"}, "admin": {"port": ADMIN},
            "driver": f"redis://127.0.0.1:{REDIS}", "store": f"{at}/proxy.db"}))
        self.spawn("proxy", self.directory / "bin/berth-proxy", "-c", self.directory / "proxy.json")
        self.wait_for(lambda: "serves as" in (self.directory / "proxy.log").read_text())
        self.start_load("changes", "changes.py")
        self.wait_for(lambda: (self.directory / "begun").exists() and (self.directory / "begun.redis").exists())

    def tear_down(self):
        self.over.set()
        if hasattr(self, "killer"):
            self.killer.join()  # it starts them again
        for process in (*self.load.values(), *self.backends.values(), self.redis):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        for pid in self.proxies():
            os.kill(pid, signal.SIGKILL)
        if not self.options.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    # -- what happens

    def kill_backends(self):
        """One every few seconds; back after one to four."""
        while not self.over.wait(self.random.uniform(2, 6)):
            port = self.random.choice(KILLED)
            begin = time.monotonic()
            self.backends[port].kill()
            self.backends[port].wait()
            self.kills.append((port, begin, time.monotonic()))
            self.over.wait(self.random.uniform(1, 4))
            self.start_backend(port)

    def redis_outage(self, seconds, how):
        (self.directory / "redis").unlink()
        begin = time.monotonic()
        self.outages.append([begin, float("inf")])
        self.redis.send_signal(how)
        self.redis.wait()
        self.over.wait(seconds)
        self.start_redis()
        self.outages[-1][1] = time.monotonic()

    def rotate(self):
        """The lines of what was rotated are counted when nobody writes there any more."""
        old = self.directory / f"access.{self.rotated}"
        (self.directory / "access.log").rename(old)
        self.rotated += 1
        for pid in self.proxies():
            os.kill(pid, signal.SIGUSR1)
        self.over.wait(3)
        if not (self.directory / "access.log").exists():
            self.notes.append(f"no new log after USR1 number {self.rotated}")
        self.count_lines(old)

    def count_lines(self, path):
        with open(path, "rb") as file:
            self.log_lines += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        path.unlink()

    def upgrade(self):
        before = self.proxies()
        if not before:
            raise RuntimeError("there is no proxy any more")
        begin = time.monotonic()
        self.upgrades.append([begin, float("inf")])
        os.kill(before[-1], signal.SIGUSR2)
        self.wait_for(lambda: self.proxies()[-1:] != before[-1:])
        self.wait_for(lambda: before[-1] not in self.proxies(), 60)
        self.upgrades[-1][1] = time.monotonic()

    def schedule(self, total):
        """(seconds, action): four outages of Redis, in one of them the second upgrade; a rotation each minute or so."""
        outage = min(20.0, total * 0.04)
        events = [(total * at, lambda how=how: self.redis_outage(outage, how))
                  for at, how in ((0.15, signal.SIGTERM), (0.42, signal.SIGKILL), (0.66, signal.SIGTERM), (0.85, signal.SIGKILL))]
        events += [(total * 0.33, self.upgrade), (total * 0.66 + outage / 2, self.upgrade)]
        events += [(total * at, self.rotate) for at in (0.1, 0.25, 0.36, 0.5, 0.75, 0.9)]
        return sorted(events, key=lambda event: event[0])

    def run(self):
        total = self.options.minutes * 60
        names = ["clients1", "clients2"]
        for name in names:
            self.start_load(name, "clients.py")
        begin = time.monotonic()
        self.killer = threading.Thread(target=self.kill_backends, daemon=True)
        self.killer.start()
        events = self.schedule(total)
        self.minute(0)
        while (now := time.monotonic() - begin) < total:
            while events and events[0][0] <= now:
                threading.Thread(target=self.carried_out, args=(events.pop(0)[1],), daemon=True).start()
            if now >= 60 * len(self.minutes):
                self.minute(len(self.minutes))
            for name, process in self.load.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} has ended: {(self.directory / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.2)
        for name in names:
            self.load[name].terminate()
            self.load[name].wait(90)
        self.over.set()
        self.load["changes"].terminate()
        self.load["changes"].wait(90)
        time.sleep(2)
        self.minute(len(self.minutes))
        self.elapsed = time.monotonic() - begin

    def carried_out(self, action):
        try:
            action()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"{getattr(action, '__name__', 'an event')}: {error!r}", flush=True)
            self.notes.append(f"{getattr(action, '__name__', 'an event')}: {error!r}")

    # -- what comes out

    def tallied(self):
        counts, times, suspects, lost = gathered(self.directory / f"{name}.json" for name in self.load)
        sorted_out = collections.defaultdict(list)
        for one in suspects:
            sorted_out[self.judged(one)].append(one)
        return counts, times, sorted_out, lost

    def killed_during(self, one, ports=KILLED):
        return any(port in ports and one["begin"] <= gone + SLACK and one["end"] >= begin - 0.05 for port, begin, gone in list(self.kills))

    def judged(self, one):
        during_upgrade = any(one["begin"] <= end + LATE and one["end"] >= begin for begin, end in self.upgrades)
        if one["stage"] == "stale":
            return "STALE: a request behind a change that was answered went by the old route"
        if one["kind"] == "Redis itself":
            return "a connection to Redis broken (it was ended)"
        if one["kind"] in ("new host", "change in Redis, seen by a request"):
            windows = [(begin, begin + 3) for begin, _ in self.upgrades] + [(begin, end + 5) for begin, end in self.outages]
            away = any(one["begin"] <= end and one["end"] >= begin for begin, end in windows)
            return f"{one['kind']}: " + ("not at once, Redis was away or an upgrade under way" if away else "LATE, by more than a second" if one["stage"] == "slow" else
                                         "NOT FOUND")
        broken = one["stage"] in ("status", "no answer", "cut") and one.get("status", 502) in (200, 502) or one["stage"] == "curl"
        if one["stage"] == "no answer" and one.get("reused") and during_upgrade:
            return "a kept connection ended between two requests, in an upgrade"
        if one["stage"] == "no answer" and one.get("stalled", 0) > 8:
            return "a client that did nothing for ten seconds itself"
        if any(one["begin"] <= begin and one["end"] >= begin + 29 for begin, _ in self.upgrades):
            return "under way for more than the 30 s that an upgrade waits"
        if one.get("method") == "POST" and one.get("host") != "safe.test" and broken and self.killed_during(one):
            return "a POST at a backend that was killed"
        if one["stage"] == "cut" and one.get("backend") and self.killed_during(one, (int(one["backend"]),)):
            return "an answer cut, its backend killed in the middle"
        if one["stage"] == "curl" and one.get("text", "").split(" ")[0] in ("18", "56", "92") and self.killed_during(one):
            return "an answer cut, its backend killed in the middle"
        return "failure"

    def minute(self, number):
        pids = self.proxies() or [0]
        facts = process_facts(pids[-1]) or {}
        counts, times, sorted_out, _ = self.tallied()
        answered = sum(count for kind, count in counts.items() if not kind.startswith(("no proxy", "admin", "change", "kept connections")))
        half, late, later, most = percentiles(times["GET, kept"]) if times["GET, kept"] else (0, 0, 0, 0)
        row = {"minute": number, "answered": answered, "failures": len(sorted_out["failure"]), "processes": len(pids), "pid": pids[-1], **facts,
               "p50": half, "p99": late, "p99.9": later, "max": most, "load": os.getloadavg()[0]}
        self.minutes.append(row)
        print(f"{datetime.datetime.now():%H:%M:%S} minute {number:3} answered {answered:8} failures {row['failures']:3} "
              f"apart {sum(len(found) for name, found in sorted_out.items() if name != 'failure'):4}  pid {pids[-1]} ({len(pids)}) RSS {facts.get('resident', 0):.1f} "
              f"(peak {facts.get('peak', 0):.1f}) MiB, {facts.get('descriptors')} descriptors, {facts.get('cpu', 0):.1f} s CPU; "
              f"GET p50 {half:.1f} p99 {late:.1f} p99.9 {later:.1f} max {most:.0f} ms; load {row['load']:.1f}", flush=True)

    def posts_sent_twice(self):
        seen = collections.Counter()
        for port in (*ALWAYS, *KILLED):
            path = self.directory / f"journal.{port}"
            if path.exists():
                seen.update(path.read_bytes().split())
        return [identifier.decode() for identifier, count in seen.items() if count > 1 and identifier != b"None"]

    def report(self):
        """Lines of Markdown."""
        counts, times, sorted_out, lost = self.tallied()
        twice = self.posts_sent_twice()
        self.count_lines(self.directory / "access.log")
        failures = sorted_out.pop("failure", [])
        out = [f"{self.elapsed / 60:.1f} minutes; {len(self.kills)} kills of backends, {len(self.outages)} outages of Redis, {len(self.upgrades)} upgrades, "
               f"{self.rotated} rotations of the log; load average between {min(row['load'] for row in self.minutes):.1f} and "
               f"{max(row['load'] for row in self.minutes):.1f} on {os.cpu_count()} cores", ""]
        out += ["| what | how many |", "| --- | --- |"]
        out += [f"| {kind} | {count:,} |" for kind, count in sorted(counts.items())]
        out += [f"| **failures** | **{len(failures)}** |", f"| POSTs that came to backends twice | {len(twice)} |"]
        out += [f"| apart: {name} | {len(found)} |" for name, found in sorted(sorted_out.items())]
        out += [f"| lines in access logs | {self.log_lines:,} |"]
        out += ["", "| ms | n | p50 | p99 | p99.9 | max |", "| --- | --- | --- | --- | --- | --- |"]
        for kind in TIMED:
            if times[kind]:
                out.append(f"| {kind} | {sum(times[kind].values()):,} | " + " | ".join(f"{value:.2f}" for value in percentiles(times[kind])) + " |")
        every = max(1, len(self.minutes) // 15)
        out += ["", "| minute | process | RSS, MiB | peak | descriptors | CPU, s | answered so far |", "| --- | --- | --- | --- | --- | --- | --- |"]
        out += [f"| {row['minute']} | {row['pid']} | {row.get('resident', 0):.1f} | {row.get('peak', 0):.1f} | {row.get('descriptors', '')} | "
                f"{row.get('cpu', 0):.0f} | {row['answered']:,} |" for at, row in enumerate(self.minutes) if at % every == 0 or row is self.minutes[-1]]
        out += [""] if self.notes or failures or twice or lost else []
        out += [f"- {note}" for note in self.notes] + [f"- sent twice: {identifier}" for identifier in twice[:20]]
        out += [f"- {json.dumps(one)}" for one in failures[:20]] + ([f"- {lost} more were not kept"] if lost else [])
        return out, len(failures) + len(twice)

    def record(self, lines):
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) // (1 << 20)
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
        redis = re.search(r"v=(\S+)", subprocess.check_output(["redis-server", "--version"], text=True)).group(1)
        with open(ROOT / "bench/RESULTS.md", "a", encoding="utf-8") as results:
            results.write(f"\n## An hour of the load balancer, {datetime.date.today()} at {self.options.commit or commit}\n\n"
                          f"{os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}, {memory} GiB, Linux {platform.release()}; Redis {redis}\n\n"
                          + "\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--bin", default=ROOT / "build/release/bin")
    parser.add_argument("--keep", help="a directory for everything, which stays")
    parser.add_argument("--commit", help="of the program, where it is not what is checked out")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    for program in ("redis-server", "redis-cli", "openssl", "curl", "ip", "unshare"):
        if not shutil.which(program):
            parser.error(f"{program} is missing: install its package")
    if not os.environ.get("BERTH_HOUR_NETWORK"):
        os.execvpe("unshare", ["unshare", "--net", "--", sys.executable, *sys.argv], {**os.environ, "BERTH_HOUR_NETWORK": "own"})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hour = Hour(options)
    try:
        hour.set_up()
        hour.run()
        lines, wrong = hour.report()
        print("\n".join(lines), flush=True)
        if options.keep:
            Path(options.keep, "report.md").write_text("\n".join(lines) + "\n")
        if options.record:
            hour.record(lines)
    finally:
        hour.tear_down()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
