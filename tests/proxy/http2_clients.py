#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of HTTP/2 that are a nuisance, frame by frame: http2_clients.py SCENARIO. A failed assertion is exit 1."""
import socket
import struct
import sys
import threading
import time

from ends import PROXY, Backend, connect, eventually, failures_of, in_flight, route
from http2_backend import ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST, SETTINGS, WINDOW, fields, frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INITIAL_WINDOW = 4
ENHANCE_YOUR_CALM = 11


class Client:
    """Notes what comes, on a thread of its own; answers what must be answered."""

    def __init__(self, window=65535):
        self.socket = socket.create_connection(("127.0.0.1", PROXY), 8)
        self.socket.settimeout(None)
        self.lock, self.room, self.windows = threading.Lock(), threading.Condition(), {0: 65535}
        self.ended, self.goaway, self.statuses, self.resets, self.pongs = False, None, {}, {}, 0
        self.send(PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, window)))
        threading.Thread(target=self.listen, daemon=True).start()

    def send(self, *frames):
        with self.lock:
            self.socket.sendall(b"".join(frames))

    def ask(self, stream, host, method="GET", more=()):
        pairs = ((":method", method), (":scheme", "http"), (":path", "/"), (":authority", host), *more)
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if method == "GET" else 0), stream, fields(*pairs)))

    def give(self, stream, piece, count):
        """So many frames of such a piece, as the windows permit."""
        size = len(piece) * count
        with self.room:
            self.windows.setdefault(stream, 65535)
            assert self.room.wait_for(lambda: min(self.windows[0], self.windows[stream]) >= size, 8), "no window"
            self.windows[0] -= size
            self.windows[stream] -= size
        self.send(frame(DATA, 0, stream, piece) * count)

    def ping(self):
        self.send(frame(PING, 0, 0, b"12345678"))

    def listen(self):
        source = self.socket.makefile("rb")
        try:
            while len(head := source.read(9)) == 9:
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                payload = source.read(int.from_bytes(head[:3], "big"))
                if kind == HEADERS:
                    self.statuses.setdefault(stream, payload)
                elif kind == WINDOW:
                    with self.room:
                        self.windows[stream] = self.windows.get(stream, 65535) + int.from_bytes(payload, "big")
                        self.room.notify_all()
                elif kind == RST:
                    self.resets[stream] = int.from_bytes(payload, "big")
                elif kind == GOAWAY:
                    self.goaway = int.from_bytes(payload[4:8], "big")
                elif kind == PING and flags & ACK:
                    self.pongs += 1
                elif kind == SETTINGS and not flags & ACK:
                    self.send(frame(SETTINGS, ACK, 0))
        except OSError:
            pass
        self.ended = True


def stuck_streams():
    """A connection that is busy with PINGs does not keep its streams: one owes its body, one does not read, and one
    that is slow goes on."""
    silent, unread, slow = Backend(), Backend(), Backend()
    route("silent.test", silent)
    route("unread.test", unread)
    route("slow.test", slow)
    client = Client(window=0)
    client.ask(1, "silent.test", "POST")
    client.ask(3, "unread.test")
    client.ask(5, "slow.test", "POST")
    at_silent, at_unread, at_slow = (one.request()[0] for one in (silent, unread, slow))
    at_unread.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + "x" * 1000000)
    begin, gone = time.monotonic(), {}
    sent = 0
    while time.monotonic() < begin + 90 and len(gone) < 2:
        client.ping()
        client.send(frame(DATA, 0, 5, b"y" * 500))
        sent += 500
        time.sleep(1)
        for host in ("silent.test", "unread.test"):
            if host not in gone and in_flight(host) == 0:
                gone[host] = time.monotonic() - begin
    assert 9 < gone.get("silent.test", 0) < 25, f"the stream without its body: {gone}"
    assert 50 < gone.get("unread.test", 0) < 85, f"the stream that is not read: {gone}"
    assert 1 in client.statuses and 3 in client.resets and 5 not in client.resets, (client.statuses, client.resets)
    assert not client.ended and client.pongs > 40
    client.send(frame(DATA, END_STREAM, 5))
    got = b""
    while piece := at_slow.chunk():
        got += piece
    assert len(got) == sent, f"{len(got)} of {sent}"
    at_slow.send("HTTP/1.1 204 No Content\r\n\r\n")
    eventually(lambda: 5 in client.statuses)
    at_silent.close()
    at_unread.close()


def stuck_to_stream():
    """To a backend of HTTP/2 a stream may be quiet, as those of gRPC are: it has no connection of its own there."""
    # The backend is http2_backend.py's, at the port that is given.
    route("quiet.test", f"h2c://127.0.0.1:{sys.argv[2]}")
    client = Client()
    client.ask(1, "quiet.test", "POST")
    eventually(lambda: in_flight("quiet.test") == 1)
    for second in range(26):
        client.ping()
        if second == 13:
            client.send(frame(DATA, 0, 1, b"z"))  # the backend has patience for 20 seconds
        time.sleep(1)
    assert in_flight("quiet.test") == 1 and not client.resets and not client.statuses, (client.resets, client.statuses)
    client.socket.shutdown(socket.SHUT_RDWR)
    eventually(lambda: in_flight("quiet.test") == 0, 2)


def answered_early():
    """A request that is answered already need not be sent to its end; who stops by himself is not told so at once,
    which costs some clients the answer."""
    backend = Backend()
    route("early.test", backend)
    client = Client()
    client.ask(1, "early.test", "POST")
    client.give(1, b"y" * 1000, 10)
    server, _, _ = backend.request()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    client.ask(3, "no-route.test", "POST")
    eventually(lambda: set(client.statuses) == {1, 3})
    time.sleep(0.3)
    assert not client.resets, client.resets
    for _ in range(9):
        client.give(3, b"y" * 10000, 3)
    eventually(lambda: client.resets == {3: 0})
    client.ask(5, "__ping__")
    eventually(lambda: 5 in client.statuses)
    eventually(lambda: client.resets == {1: 0, 3: 0}, 25)


def asks_whether_to_send():
    """A client that was told to go on and does not is slow itself; one whose backend never says so is told 504. No
    backend is to blame."""
    told, other, silent, mute = (Backend() for _ in range(4))
    route("told.test", told, other, balance="round-robin", timeouts={"answer_ms": 5000})
    route("untold.test", silent, mute, balance="round-robin")
    client = Client()
    servers = []
    for stream in (1, 3):
        client.ask(stream, "told.test", "POST", more=(("expect", "100-continue"), ("content-length", "5")))
        servers.append(next(one for one in (backend.soon() for backend in (told, other)) if one))
        servers[-1].head()
        servers[-1].send("HTTP/1.1 100 Continue\r\n\r\n")
    for stream in (5, 7):
        client.ask(stream, "untold.test", "POST", more=(("expect", "100-continue"), ("content-length", "5")))
    eventually(lambda: in_flight("untold.test") == 0)
    assert in_flight("told.test") == 2
    eventually(lambda: in_flight("told.test") == 0, 25)
    assert failures_of("told.test") == 0 and failures_of("untold.test") == 0, "backends were marked for what a client does"
    assert not client.ended


def empty_frames():
    """Frames without an end that carry nothing: others are served meanwhile, and then it is enough."""
    backend = Backend()
    route("flood.test", backend)
    route("meanwhile.test", backend)
    client = Client()
    client.ask(1, "flood.test", "POST")
    backend.request()
    block = frame(DATA, 0, 1) * 20000
    sent, longest = 0, [0.0]

    def others():
        while not client.ended:
            begin = time.monotonic()
            other = connect()
            other.send("GET / HTTP/1.1\r\nHost: __ping__\r\n\r\n")
            other.status()
            other.close()
            longest[0] = max(longest[0], time.monotonic() - begin)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        while sent < 100 << 20 and not client.ended:
            client.send(block)
            sent += len(block)
    except OSError:
        pass
    eventually(lambda: client.ended)
    thread.join()
    assert client.goaway in (ENHANCE_YOUR_CALM, None) and sent < 40 << 20, f"goaway {client.goaway} behind {sent} bytes"
    assert longest[0] < 0.5, f"another client waited {longest[0]:.3f} s"
    print(f"{sent >> 20} MiB of them; others waited {longest[0] * 1000:.0f} ms at most")
    # Small messages of a stream that is in use are none of that, and neither is a window that opens by and by.
    client = Client()
    client.ask(1, "meanwhile.test", "POST")
    server, _, _ = backend.request()
    got = bytearray()

    def take():
        while piece := server.chunk():
            got.extend(piece)

    thread = threading.Thread(target=take)
    thread.start()
    for _ in range(300):
        client.give(1, b"zz", 5000)
    client.send(frame(DATA, END_STREAM, 1), *[frame(WINDOW, 0, 0, struct.pack(">I", 1))] * 1000)
    thread.join(20)
    assert len(got) == 3000000, len(got)
    server.send("HTTP/1.1 204 No Content\r\n\r\n")
    eventually(lambda: 1 in client.statuses)
    assert client.goaway is None


if __name__ == "__main__":
    {one.__name__: one for one in (stuck_streams, stuck_to_stream, answered_early, asks_whether_to_send, empty_frames)}[sys.argv[1]]()
