# SPDX-License-Identifier: Apache-2.0
"""A backend that writes down what it gets, byte for byte, and answers what the case at hand wants.

One case at a time: begin() forgets the last one's requests. Each connection has a thread, which ends with it.
"""
import socket
import struct
import threading
import time
from dataclasses import dataclass

from strict_http import Malformed, Message, parse_request_head, read_body

PROBE = "/is-it-open"
EARLY_HINT = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 16000 + b"\r\n\r\n"


@dataclass
class Request:
    message: Message
    connection: int

    def line(self):
        return f"{self.message.method} {self.message.target}"


class Backend:
    def __init__(self):
        self.proxy = None  # what "freeze" stops
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._connections = 0
        self._replies, self._requests, self._complaints = [], [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self, replies):
        with self._lock:
            self._replies = list(replies)
            self._requests, self._complaints = [], []

    def requests(self):
        with self._lock:
            return list(self._requests)

    def complaints(self):
        """What came that is no HTTP, or that no proxy may send."""
        with self._lock:
            return list(self._complaints)

    def _accept(self):
        while True:
            connection, _ = self._socket.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections += 1
            threading.Thread(target=self._serve, args=(connection, self._connections), daemon=True).start()

    def _serve(self, connection, number):
        served = ServedConnection(connection, self.proxy)
        try:
            while self._serve_one(served, number):
                pass
        except Malformed as error:
            self._complain(str(error))
        except OSError:
            pass
        connection.close()

    def _serve_one(self, served, number):
        message = served.read_head()
        if message is None:
            if served.buffer:
                self._complain(f"the beginning of a request: {bytes(served.buffer[:80])!r}")
            return False
        reply = self._note(Request(message, number))
        if reply and reply.early:
            goes_on = served.perform(reply)
            return served.read_body(message) and goes_on
        if not served.read_body(message):
            return False
        return served.perform(reply) if reply else served.answer(message)

    def _note(self, request):
        with self._lock:
            if request.message.target == PROBE:
                return None
            self._requests.append(request)
            self._complaints.extend(faults(request.message))
            return self._replies.pop(0) if self._replies else None

    def _complain(self, what):
        with self._lock:
            self._complaints.append(what)


class ServedConnection:
    def __init__(self, connection, proxy):
        self.connection = connection
        self.proxy = proxy
        self.buffer = bytearray()
        self.ended = False

    def read_head(self):
        while True:
            parsed = parse_request_head(self.buffer)
            if parsed:
                message, used = parsed
                del self.buffer[:used]
                return message
            if not self._read_more():
                return None

    def read_body(self, message):
        while True:
            end = read_body(message, self.buffer, 0, False)
            if end is not None:
                del self.buffer[:end]
                return True
            if not self._read_more():
                return False

    def answer(self, message):
        text = f"{message.method} {message.target}".encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(text)
        self.connection.sendall(head if message.method == "HEAD" else head + text)
        return True

    def perform(self, reply):
        """Whether the connection lives on."""
        for verb, argument in reply.steps:
            if not self._perform_step(verb, argument):
                return False
        return True

    def _perform_step(self, verb, argument):
        if verb == "send":
            self.connection.sendall(argument)
        elif verb == "pause":
            time.sleep(float(argument))
        elif verb == "freeze":
            self.proxy.freeze()
        elif verb == "thaw":
            self.proxy.thaw()
        elif verb == "tunnel":
            return self._echo()
        elif verb == "flood":
            for _ in range(int(argument) * 1_000_000 // len(EARLY_HINT)):
                self.connection.sendall(EARLY_HINT)
        elif verb == "end":
            self.connection.shutdown(socket.SHUT_WR)
        elif verb == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return verb not in ("reset", "close")

    def _echo(self):
        while self.buffer or self._read_more():
            self.connection.sendall(self.buffer)
            self.buffer.clear()
        return False

    def _read_more(self):
        data = self.connection.recv(1 << 16)
        self.buffer += data
        return bool(data)


def faults(message):
    """What no request may have that this proxy sends on, whatever the client sent."""
    found = []
    for name in ("Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-IP"):
        if len(message.values(name)) != 1:
            found.append(f"{name}: {message.values(name)}, not once")
    for name in ("TE", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization"):
        if message.values(name):
            found.append(f"{name}, which ends at the proxy")
    upgrades = message.values("Upgrade")
    if upgrades and (upgrades != ["websocket"] or message.framing != "none" or message.method != "GET"):
        found.append(f"Upgrade: {upgrades}")
    if bool(upgrades) != ("Upgrade" in message.values("Connection")):
        found.append(f"Upgrade: {upgrades} with Connection: {message.values('Connection')}")
    return found
