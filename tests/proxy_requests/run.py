#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends the requests of cases/*.txt through berth-proxy and looks at both ends of it; case_files.py has the format.

    BERTH_BIN=build/release/bin tests/proxy_requests/run.py [--only REGEX] [FILE...]

Each case runs twice, in one piece and byte by byte, with the same outcome. Prints "ok TITLE" or "FAIL TITLE: why",
and in the last line "N passed, M failed".
"""
import argparse
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from backend import PROBE, Backend
from case_files import BadCase, read_cases
from client import Client
from parser_check import what_is_taken
from strict_http import Malformed

HERE = pathlib.Path(__file__).resolve().parent
LANES = 4  # cases at a time, each with a proxy and a backend of its own, since they wait more than they work
GRACE = 0.02  # seconds, for what must not come


class Failed(Exception):
    """Why a case has failed."""


class Proxy:
    """A berth-proxy with static routes, on a port of its own."""

    def __init__(self, program, directory, backend_port):
        self.port = free_port()
        backend = f"http://127.0.0.1:{backend_port}"
        routes = {
            "web.test": [backend], "*.wild.test": [backend], "192.0.2.7": [backend],
            "prefix.test": [backend + "/base"], "down.test": [f"http://127.0.0.1:{free_port()}"],
        }
        files = {
            "routes.json": {"routes": {host: {"backends": backends} for host, backends in routes.items()}},
            "proxy.json": {
                "server": {"workers": 1, "tcpTimeout": 2, "accessLog": str(directory / "access.log")},
                "http": {"bind": "127.0.0.1", "port": self.port},
                "routes": str(directory / "routes.json"),
                "trustedProxies": ["127.0.0.2/32"],
            },
        }
        for name, content in files.items():
            (directory / name).write_text(json.dumps(content), encoding="utf-8")
        self.log = directory / "proxy.log"
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen([program, "--config", str(directory / "proxy.json")],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until_up(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.alive():
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def alive(self):
        return self._process.poll() is None

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def megabytes(self):
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+([0-9]+)", status)[1]) // 1024

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        self.thaw()
        self._process.terminate()
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


# --- checks -----------------------------------------------------------------------------------------------------------


def check_fields(what, wanted, message):
    for name, value in wanted.has:
        if value not in message.values(name):
            raise Failed(f"{what}: no {name}: {value}, but {message.values(name)}")
    for name in wanted.lacks:
        if message.values(name):
            raise Failed(f"{what}: has {name}: {message.values(name)}")
    trailers = [(name.lower(), value) for name, value in message.trailers]
    for name, value in wanted.trailer:
        if (name.lower(), value) not in trailers:
            raise Failed(f"{what}: no trailer {name}: {value}, but {message.trailers}")
    if wanted.trailers is not None and wanted.trailers != len(trailers):
        raise Failed(f"{what}: {len(trailers)} trailers: {message.trailers}")


def check_message(what, wanted, message):
    check_fields(what, wanted, message)
    if wanted.body is not None and wanted.body != message.body:
        raise Failed(f"{what}: body {message.body[:100]!r} ({len(message.body)} bytes), not {wanted.body[:100]!r}")
    if wanted.framing is not None and wanted.framing != message.framing:
        raise Failed(f"{what}: framing {message.framing}, not {wanted.framing}")


def check_answers(wanted, got):
    statuses = [answer.status for answer in got]
    if statuses != [answer.status for answer in wanted]:
        raise Failed(f"answers {statuses[:12]}, not {[answer.status for answer in wanted][:12]}")
    for number, (one, answer) in enumerate(zip(wanted, got), 1):
        if one.cut == answer.complete:
            raise Failed(f"answer {number}: is {'whole' if answer.complete else 'cut'}")
        check_message(f"answer {number}", one, answer)


def check_tunnel(case, client, rest):
    if case.tunnel is None:
        return rest
    client.wait_for_bytes(len(client.received) - len(rest) + len(case.tunnel))
    rest = client.answers([], len(case.answers))[1]
    if rest != case.tunnel:
        raise Failed(f"the tunnel has {rest[:100]!r}, not {case.tunnel[:100]!r}")
    return b""


def check_open(case, client):
    before = len(client.received)
    client.send(f"GET {PROBE} HTTP/1.1\r\nHost: web.test\r\n\r\n".encode(), False)
    wanted = len(case.answers) + 1
    to_head = [answer.to_head for answer in case.answers]
    got, _ = client.wait_for_answers(to_head, wanted, 3)
    if len(got) != wanted or got[-1].status != 200 or got[-1].body != f"GET {PROBE}".encode():
        raise Failed(f"the connection is not open: one more request got {bytes(client.received[before:][:100])!r}")


def check_closed(case, client, rest):
    if not client.wait_for_end(1.5):
        raise Failed(f"the connection is open, with {rest[:100]!r} behind the answers")
    rest = client.answers([answer.to_head for answer in case.answers], len(case.answers))[1]
    if rest:
        raise Failed(f"behind the answers comes {rest[:100]!r}")


def settled(case, backend):
    """The requests of a case whose client has gone. Those that are not listed are given some time to come."""
    deadline = time.monotonic() + 2
    time.sleep(GRACE)
    if case.cut and not backend.requests():
        time.sleep(10 * GRACE)  # its beginning may be under way, and is not to be taken for the next case's
    while time.monotonic() < deadline:
        requests = backend.requests()
        if len([one for one in requests if one.message.complete]) >= len(case.seen):
            break
        time.sleep(0.005)
    return backend.requests()


def check_seen(case, backend):
    requests = settled(case, backend)
    complaints = backend.complaints()
    if complaints:
        raise Failed(f"the backend got {complaints[0]}")
    whole = [one for one in requests if one.message.complete]
    if [one.line() for one in whole] != [one.request for one in case.seen]:
        raise Failed(f"the backend got {[one.line()[:100] for one in whole]}, "
                     f"not {[one.request[:100] for one in case.seen]}")
    for one in requests:
        if not one.message.complete and one.line() not in case.cut:
            raise Failed(f"the backend got the beginning of {one.line()[:100]}")
    for number, (wanted, one) in enumerate(zip(case.seen, whole), 1):
        check_message(f"request {number}", wanted, one.message)
        if wanted.connection and number > 1:
            now = "same" if one.connection == whole[number - 2].connection else "new"
            if now != wanted.connection:
                raise Failed(f"request {number} came on the {now} connection")


# --- cases ------------------------------------------------------------------------------------------------------------


def play(case, client, proxy, bytewise):
    to_head = [answer.to_head for answer in case.answers]
    for verb, argument in case.steps:
        if verb == "send":
            client.send(argument, bytewise)
        elif verb == "pause":
            time.sleep(float(argument))
        elif verb == "wait":
            client.wait_for_answers(to_head, int(argument))
        elif verb == "freeze":
            proxy.freeze()
        elif verb == "thaw":
            proxy.thaw()
        else:
            client.end()


def check_client(case, client):
    to_head = [answer.to_head for answer in case.answers]
    got, rest = client.wait_for_answers(to_head, len(case.answers))
    check_answers(case.answers, got)
    rest = check_tunnel(case, client, rest)
    if case.ends == "open":
        if rest:
            raise Failed(f"behind the answers comes {rest[:100]!r}")
        check_open(case, client)
    elif case.ends == "closed":
        check_closed(case, client, rest)


def is_served(proxy, seconds):
    """Whether a client of its own gets an answer in that time."""
    other = Client(proxy.port, "127.0.0.1")
    try:
        other.listen()
        other.send(f"GET {PROBE} HTTP/1.1\r\nHost: web.test\r\n\r\n".encode(), False)
        got, _ = other.wait_for_answers([], 1, seconds)
        return bool(got) and got[0].status == 200
    finally:
        other.close()


def check_load(case, proxy, before):
    """Behind the steps: what the proxy has kept, and whether it still has time for others."""
    grown = proxy.megabytes() - before
    try:
        if case.memory is not None and grown > case.memory:
            raise Failed(f"the proxy has grown by {grown} MB")
        if case.others is not None and not is_served(proxy, case.others):
            raise Failed(f"another client is not served within {case.others} s")
    finally:
        proxy.thaw()
        is_served(proxy, 60)  # the next case begins when this one's load is gone


def run_once(case, proxy, backend, bytewise):
    before = proxy.megabytes()
    backend.begin(case.replies)
    client = Client(proxy.port, case.source)
    try:
        if case.memory is None:
            client.listen()
        play(case, client, proxy, bytewise)
        if case.memory is not None or case.others is not None:
            check_load(case, proxy, before)
            if case.memory is not None:
                client.listen()
        begun = time.monotonic()
        check_client(case, client)
        if case.within is not None and time.monotonic() - begun > case.within:
            raise Failed(f"it took {time.monotonic() - begun:.1f} s")
    except Malformed as error:
        raise Failed(f"the client got {error}") from error
    finally:
        proxy.thaw()
        client.close()
    check_seen(case, backend)
    if not proxy.alive():
        raise Failed("the proxy has ended")


def why_it_fails(case, proxy, backend):
    for bytewise in (False, True) if case.bytewise else (False,):
        try:
            run_once(case, proxy, backend, bytewise)
        except Failed as error:
            return f"{'byte by byte, ' if bytewise else ''}{error}"
        except OSError as error:
            return f"the proxy is not to be talked to: {error}"
    return None


def verdict(case, proxy, backend):
    """None is good. A case that shows how checks fail is good if this one has failed."""
    why = why_it_fails(case, proxy, backend)
    if case.fails is None:
        return why
    if why is None or case.fails not in why:
        return f"wanted a failure with <{case.fails}>, got {why}"
    return None


def report(good, title, why):
    """One line for whoever reads it; 1 for a failure."""
    print(f"ok   {title}" if good else f"FAIL {title}: {why}", flush=True)
    return 0 if good else 1


def run_all(cases, lanes):
    free = queue.SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def run_in_a_lane(case):
        lane = free.get()
        try:
            return verdict(case, *lane)
        finally:
            free.put(lane)

    failed = 0
    with ThreadPoolExecutor(len(lanes)) as threads:
        for case, why in zip(cases, threads.map(run_in_a_lane, cases)):
            failed += report(why is None, case.title, f"{why} [{case.rule}]")
    return failed


def check_parser():
    taken = what_is_taken()
    return report(not taken, "both ends read strictly", f"they take {taken}")


def check_end(proxies):
    """They were alive to the end, and end well."""
    faulty = []
    for proxy in proxies:
        alive, code, said = proxy.alive(), proxy.stop(), proxy.said()
        if not alive or code != 0 or re.search("Sanitizer|runtime error|terminate called|Assertion", said):
            faulty.append(f"exit {code}: {said[-2000:]}")
    return report(not faulty, "the proxies end as they should", faulty)


def choose_cases(files, only):
    cases = [case for file in files for case in read_cases(file)]
    titles = [case.title for case in cases]
    for title in titles:
        if titles.count(title) > 1:
            raise BadCase(f"two cases are called {title!r}")
    return [case for case in cases if re.search(only, case.title)]


def start_lane(directory):
    program = os.path.join(os.environ.get("BERTH_BIN", "build/release/bin"), "berth-proxy")
    directory.mkdir()
    backend = Backend()
    backend.proxy = Proxy(program, directory, backend.port)
    return backend.proxy, backend


def run_suite(cases):
    """How many have failed, with the two checks that are no cases."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="berth-requests."))
    lanes = []
    try:
        for number in range(LANES):
            lanes.append(start_lane(work / str(number)))
        for proxy, _ in lanes:
            if not proxy.wait_until_up():
                return len(cases) + 1 + report(False, "the proxy starts", proxy.said()[-2000:])
        return run_all(cases, lanes) + check_parser() + check_end([proxy for proxy, _ in lanes])
    finally:
        for proxy, _ in lanes:
            if proxy.alive():
                proxy.stop()
        shutil.rmtree(work, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="Sends requests through berth-proxy and looks at both ends of it.")
    parser.add_argument("--only", default=os.environ.get("ONLY", "."), metavar="REGEX", help="cases by their titles")
    parser.add_argument("files", nargs="*", default=sorted(map(str, HERE.glob("cases/*.txt"))))
    arguments = parser.parse_args()
    try:
        cases = choose_cases(arguments.files, arguments.only)
    except BadCase as error:
        print(f"FAIL {error}")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    failed = run_suite(cases)
    print(f"{len(cases) + 2 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
