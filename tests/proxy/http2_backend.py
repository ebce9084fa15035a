# SPDX-License-Identifier: Apache-2.0
# Backends of HTTP/2 that behave as their names say, frame by frame, without a library that would not let them.
#
#   http2_backend.py DIRECTORY NAME:PORT...     what they saw goes to DIRECTORY/NAME.seen, a line each
import os
import socket
import struct
import sys
import threading
import time

DATA, HEADERS, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits):
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytes([most]), value - most
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def field(name, value):  # a literal that no table remembers
    name, value = name.encode(), value if isinstance(value, bytes) else str(value).encode()
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def fields(*pairs):
    return b"".join(field(name, value) for name, value in pairs)


class Peer:
    """One connection, and the frames of it."""

    def __init__(self, connection, name, directory, number):
        self.connection, self.name, self.directory, self.number = connection, name, directory, number
        self.buffer = b""
        connection.settimeout(20)

    def say(self, text):
        with open(f"{self.directory}/{self.name}.seen", "a") as file:
            file.write(f"{self.number} {text}\n")

    def exactly(self, count):
        while len(self.buffer) < count:
            more = self.connection.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    def send(self, *frames):
        self.connection.sendall(b"".join(frames))

    def read(self):
        head = self.exactly(9)
        payload = self.exactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == RST:
            self.say(f"reset {stream} {int.from_bytes(payload, 'big')}")
        if kind == GOAWAY:
            self.say(f"goaway {int.from_bytes(payload[4:8], 'big')}")
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        if kind == PING and not flags & ACK and self.name != "mute":
            self.send(frame(PING, ACK, 0, payload))
        return kind, flags, stream, payload

    def requests(self, whole=True):
        """The streams that are asked on, each when its request is there: all of it, or its head alone."""
        while True:
            kind, flags, stream, payload = self.read()
            if kind == DATA and payload:
                self.send(*(frame(WINDOW, 0, where, struct.pack(">I", len(payload))) for where in (0, stream)))
            if kind == HEADERS and not whole or kind in (HEADERS, DATA) and flags & END_STREAM and whole:
                self.say(f"request {stream}")
                yield stream

    def start(self, *settings):
        assert self.exactly(24).startswith(b"PRI * HTTP/2.0")
        self.send(frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *one) for one in settings)))

    def answer(self, stream, *more, body=b"ok"):
        self.send(frame(HEADERS, END_HEADERS, stream, fields((":status", 200), *more)), frame(DATA, END_STREAM, stream, body))


# --- what they do -----------------------------------------------------------------------------------------------------


def good(peer):
    peer.start()
    for stream in peer.requests():
        peer.answer(stream, ("x-connection", peer.number))


def one_at_a_time(peer):
    peer.start((3, 1))
    for stream in peer.requests():
        time.sleep(0.2)
        peer.answer(stream)


def none_at_a_time(peer):
    peer.start((3, 0))
    for _ in peer.requests():
        pass


def many_fields(peer):
    peer.start()
    for stream in peer.requests():
        peer.answer(stream, *((f"x-{at}", "v") for at in range(200)))


def large_head(peer):
    peer.start()
    for stream in peer.requests():
        block = fields((":status", 200), *((f"x-{at}", "v" * 4000) for at in range(12)))
        parts = [block[at:at + 16000] for at in range(0, len(block), 16000)]
        peer.send(frame(HEADERS, 0, stream, parts[0]), *(frame(CONTINUATION, 0, stream, one) for one in parts[1:-1]),
                  frame(CONTINUATION, END_HEADERS, stream, parts[-1]), frame(DATA, END_STREAM, stream, b"ok"))


def endless_head(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, 0, stream, field(":status", 200)))
        while True:
            peer.send(*[frame(CONTINUATION, 0, stream, field("x", "v" * 100))] * 100)


def decompressed(peer):  # a field of 3,900 bytes, which a byte each repeats
    peer.start()
    for stream in peer.requests():
        once = b"\x40" + integer(1, 7) + b"x" + integer(3900, 7) + b"v" * 3900
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200) + once + b"\xbe" * 12000),
                  frame(DATA, END_STREAM, stream, b"ok"))


def endless_informational(peer):
    peer.start()
    for stream in peer.requests():
        while True:
            peer.send(*[frame(HEADERS, END_HEADERS, stream, fields((":status", 103), ("link", "</x>")))] * 100)


def informational(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(*[frame(HEADERS, END_HEADERS, stream, fields((":status", 103), ("link", f"</{at}>"))) for at in range(3)])
        peer.answer(stream)


def beyond_window(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200)))
        peer.send(*[frame(DATA, 0, stream, b"d" * 16384)] * 640)
        peer.send(frame(DATA, END_STREAM, stream))


def push(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(PUSH, END_HEADERS, stream, struct.pack(">I", 2) + fields((":method", "GET"), (":path", "/"))))
        peer.answer(stream)


def flood(what, head=None):
    def run(peer):
        peer.start()
        for stream in peer.requests():
            if head:
                peer.send(frame(HEADERS, END_HEADERS, stream, head))
            while True:
                peer.send(*[what(stream)] * 1000)
    return run


def refused(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(RST, 0, stream, struct.pack(">I", 7)))


def refused_once(peer):
    peer.start()
    for stream in peer.requests():
        if stream == 1:
            peer.send(frame(RST, 0, stream, struct.pack(">I", 7)))
        else:
            peer.answer(stream)


def goaway_once(peer):  # the first connection has looked at nothing
    peer.start()
    for stream in peer.requests():
        if peer.number == 0:
            peer.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
        else:
            peer.answer(stream, ("x-connection", peer.number))


def goaway_after(peer):  # each connection is for one request, and says so behind its answer
    peer.start()
    for stream in peer.requests():
        peer.answer(stream, ("x-connection", peer.number))
        peer.send(frame(GOAWAY, 0, 0, struct.pack(">II", stream, 0)))


def goaway_midway(peer):  # what it has begun it ends
    peer.start()
    for stream in peer.requests():
        peer.send(frame(GOAWAY, 0, 0, struct.pack(">II", stream, 0)), frame(HEADERS, END_HEADERS, stream, field(":status", 200)))
        for _ in range(5):
            time.sleep(0.1)
            peer.send(frame(DATA, 0, stream, b"part "))
        peer.send(frame(DATA, END_STREAM, stream, b"end"))


def looked_and_reset(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(RST, 0, stream, struct.pack(">I", 2)))


def reset_midway(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200)), frame(DATA, 0, stream, b"half"))
        time.sleep(0.1)
        peer.send(frame(RST, 0, stream, struct.pack(">I", 2)))


def dies_midway(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200)), frame(DATA, 0, stream, b"half"))
        time.sleep(0.1)
        return


def dies_at_once(peer):  # it may have done what was asked
    peer.start()
    for _ in peer.requests():
        return


def answers_early(peer):  # in full, without the request's body, which it says
    peer.start()
    for stream in peer.requests(whole=False):
        peer.answer(stream)
        peer.send(frame(RST, 0, stream, struct.pack(">I", 0)))


def trailers(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200)), frame(DATA, 0, stream, b"ok"),
                  frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(("x-sum", "1"))))


def bad_trailers(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200)), frame(DATA, 0, stream, b"ok"),
                  frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(("content-length", "7"))))


def small_pieces(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200)), *[frame(DATA, 0, stream, b"d")] * 20000,
                  frame(DATA, END_STREAM, stream))


def padded(peer):
    peer.start()
    for stream in peer.requests():
        peer.send(frame(HEADERS, END_HEADERS, stream, field(":status", 200)))
        for _ in range(1000):  # 250 KB of padding: its windows have to come back
            peer.send(frame(DATA, 8, stream, b"\xff" + b"d" + b"\0" * 255))
            while peer.buffer or select_readable(peer.connection):
                peer.read()
        peer.send(frame(DATA, END_STREAM, stream))


def select_readable(connection):
    import select
    return select.select([connection], [], [], 0.0005)[0]


def says_nothing(peer):
    peer.exactly(24)
    peer.say("begun")
    while peer.connection.recv(1000):
        pass


def mute(peer):  # alive until the first request: then it reads nothing, and says nothing
    peer.start()
    for _ in peer.requests(whole=False):
        time.sleep(60)


def http1(peer):
    peer.exactly(24)
    peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def garbage(peer):
    peer.exactly(24)
    peer.send(os.urandom(5000))


def odd(*pairs, body=b"ok"):
    def run(peer):
        peer.start()
        for stream in peer.requests():
            peer.send(frame(HEADERS, END_HEADERS, stream, fields(*pairs)), frame(DATA, END_STREAM, stream, body))
    return run


OK = (":status", 200)
NAMES = {
    "good": good, "one_at_a_time": one_at_a_time, "none_at_a_time": none_at_a_time, "many_fields": many_fields,
    "large_head": large_head, "endless_head": endless_head, "decompressed": decompressed,
    "endless_informational": endless_informational, "informational": informational, "beyond_window": beyond_window,
    "push": push, "refused": refused, "refused_once": refused_once, "goaway_once": goaway_once, "goaway_after": goaway_after,
    "goaway_midway": goaway_midway, "looked_and_reset": looked_and_reset, "reset_midway": reset_midway,
    "dies_midway": dies_midway, "dies_at_once": dies_at_once, "answers_early": answers_early, "trailers": trailers,
    "bad_trailers": bad_trailers, "small_pieces": small_pieces, "padded": padded, "says_nothing": says_nothing, "mute": mute,
    "http1": http1, "garbage": garbage,
    "ping_flood": flood(lambda stream: frame(PING, 0, 0, b"12345678")),
    "settings_flood": flood(lambda stream: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))),
    "empty_flood": flood(lambda stream: frame(DATA, 0, stream), field(":status", 200)),
    "window_flood": flood(lambda stream: frame(WINDOW, 0, 0, struct.pack(">I", 1))),
    "framing": odd(OK, ("transfer-encoding", "chunked")), "connection": odd(OK, ("connection", "close")),
    "upper": odd(OK, ("X-Upper", "1")), "injected": odd(OK, ("x-a", b"1\r\nX-Injected: 1")),
    "two_lengths": odd(OK, ("content-length", 2), ("content-length", 2)), "short": odd(OK, ("content-length", 3)),
    "long": odd(OK, ("content-length", 1)), "no_status": odd(("x-a", 1)), "two_statuses": odd(OK, OK),
    "switches": odd((":status", 101)), "no_number": odd((":status", "2x0")), "late_status": odd(("x-a", 1), OK),
    "huge_status": odd((":status", 2000)),
}


def serve(name, port, directory):
    listener = socket.create_server(("127.0.0.1", port), backlog=200)
    number = 0
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=one, args=(name, Peer(connection, name, directory, number)), daemon=True).start()
        number += 1


def one(name, peer):
    try:
        NAMES[name](peer)
    except (EOFError, OSError) as error:
        peer.say(f"over {type(error).__name__}")
    finally:
        try:
            peer.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        peer.connection.close()


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        name, port = argument.split(":")
        threading.Thread(target=serve, args=(name, int(port), sys.argv[1])).start()
