#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Changes of routes of the hour, in one process: changes.py NAME DIRECTORY. Until SIGTERM.

By the admin API: hosts under load, hosts that nobody asks for, and one whose only backend moves to and fro: the first
request behind the answer has to see it. In Redis: hosts under load, and new ones that are asked for at once.
DIRECTORY/redis is there while Redis is.
"""
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time

from tally import ADMIN, ALWAYS, HTTP, KILLED, OF_REDIS, REDIS, SAFE, STEADY, Tally

NAME, DIRECTORY = sys.argv[1:]
tally = Tally(f"{DIRECTORY}/{NAME}.json")
going = threading.Event()  # set: it is over


def url(port):
    return f"http://127.0.0.1:{port}"


def some_backends():
    """Different ones each time, and one that serves."""
    ports = [random.choice(ALWAYS), *random.sample(KILLED, random.randrange(0, 4))]
    random.shuffle(ports)
    return ports


class Api:
    """A kept connection to the admin API."""

    def __init__(self):
        self.connection = None

    def ask(self, method, path, document=None):
        """A change may be made again: where the connection was closed between two, it is."""
        begin = time.monotonic()
        for attempt in range(2):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=30)
            try:
                self.connection.request(method, path, json.dumps(document) if document else None)
                answer = self.connection.getresponse()
                text = answer.read()
                if answer.status not in (200, 204):
                    tally.suspect("admin", begin, "status", status=answer.status, text=text[:100].decode("latin-1"))
                tally.took(f"admin {method}", time.monotonic() - begin)
                return
            except (OSError, http.client.HTTPException) as error:
                self.connection.close()
                self.connection = None
                if fresh or attempt == 1:
                    tally.suspect("admin", begin, "no answer", error=repr(error), fresh=fresh)
                    return

    def put(self, host, ports, **options):
        self.ask("PUT", f"/v1/routes/{host}", {"backends": [url(port) for port in ports], **options})


class Redis:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", REDIS), 5)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def ask(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, words)))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line or line.startswith(b"-"):
            raise OSError(line.decode("latin-1"))
        if line.startswith(b"*"):
            return [self.reply() for _ in range(int(line[1:]))]
        if line.startswith(b"$"):
            return self.file.read(int(line[1:]) + 2)[:-2]
        return line[1:-2]

    def frontend(self, host, ports):
        self.ask("MULTI")
        self.ask("DEL", f"frontend:{host}")
        self.ask("RPUSH", f"frontend:{host}", f"id of {host}", *map(url, ports))
        self.ask("EXEC")


def whose(host, connection=None):
    """The status, and which backend answered."""
    asked = connection or http.client.HTTPConnection("127.0.0.1", HTTP, timeout=30)
    asked.request("GET", "/small", headers={"Host": host, "X-Id": "c"})
    answer = asked.getresponse()
    answer.read()
    if not connection:
        asked.close()
    return answer.status, int(answer.getheader("X-Backend", "0"))


def steady():
    api, begun = Api(), False
    while not going.is_set():
        for host in STEADY:
            balance = random.choice(("random", "round-robin", "hash"))
            api.put(host, some_backends(), balance=balance, sticky=random.random() < 0.2)
        if not begun:
            api.put(SAFE, ALWAYS)
            api.put("%2A.wild.test", some_backends())
            begun = True
            open(f"{DIRECTORY}/begun", "w", encoding="ascii").close()
        else:
            api.put("%2A.wild.test", some_backends())
        going.wait(0.4)


def others():
    """Five thousand that come and go."""
    api, there = Api(), set()
    while not going.is_set():
        host = f"other{random.randrange(5000)}.test"
        if host in there:
            api.ask("DELETE", f"/v1/routes/{host}")
            there.remove(host)
        else:
            api.put(host, some_backends())
            there.add(host)
        going.wait(0.04)


def moving():
    """Each change holds when it was answered, on a new connection as on a kept one."""
    api, turn, kept = Api(), 0, None
    while not going.is_set():
        turn += 1
        port = ALWAYS[turn % 2]
        begin = time.monotonic()
        api.put("moving.test", [port])
        for fresh in (False, True):
            for _ in range(2):
                try:
                    if kept is None:
                        kept = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=30)
                    status, seen = whose("moving.test", None if fresh else kept)
                    break
                except (OSError, http.client.HTTPException) as error:
                    if fresh:
                        tally.suspect("change that was answered", begin, "no answer", error=repr(error))
                    status, kept = None, None
            if status is None:
                continue
            if (status, seen) == (200, port):
                tally.counts["change that was answered"] += 1
            else:
                tally.suspect("change that was answered", begin, "stale", status=status, seen=seen, wanted=port, fresh=fresh)
        tally.took("change by the API, seen by a request", time.monotonic() - begin)
        going.wait(0.1)


def in_redis():
    """How long a change in Redis takes to be seen, and a new host that is asked for at once."""
    redis, turn = None, 0
    while not going.is_set():
        turn += 1
        try:
            if redis is None:
                redis = Redis()
            for host in OF_REDIS:
                redis.frontend(host, some_backends())
            port = ALWAYS[turn % 2]
            begin = time.monotonic()
            redis.frontend("follows.test", [port])
            seen_from = time.monotonic()
            while whose("follows.test") != (200, port) and time.monotonic() - begin < 10:
                time.sleep(0.001)
            took = time.monotonic() - seen_from
            if redis.ask("PING") == b"PONG":
                tally.took("change in Redis, seen by a request", took)
                if took > 1:
                    tally.suspect("change in Redis, seen by a request", begin, "slow", took=took)
            begin = time.monotonic()
            redis.frontend(f"new{turn}.test", [port])
            status, seen = whose(f"new{turn}.test")
            redis.ask("DEL", f"frontend:new{turn}.test")
            if (status, seen) == (200, port):
                tally.counts["new host in Redis, asked for at once"] += 1
            else:
                tally.suspect("new host", begin, "status", status=status, seen=seen)
            open(f"{DIRECTORY}/begun.redis", "w", encoding="ascii").close()
        except (OSError, http.client.HTTPException) as error:
            tally.suspect("Redis itself", time.monotonic(), "error", error=repr(error))
            if redis:
                redis.close()
            redis = None
        going.wait(0.4)


signal.signal(signal.SIGTERM, lambda *_: going.set())
threads = [threading.Thread(target=one) for one in (steady, others, moving, in_redis)]
for thread in threads:
    thread.start()
while not going.wait(5):
    tally.write()
for thread in threads:
    thread.join()
tally.write()
