# SPDX-License-Identifier: Apache-2.0
"""Both ends of what goes through the proxy, so that a test sees what each sees, and when."""
import http.client
import json
import os
import socket
import struct
import time

PROXY = int(os.environ.get("PROXY_PORT", "8000"))
ADMIN = int(os.environ.get("ADMIN_PORT", "8001"))
PATIENCE = float(os.environ.get("PATIENCE", "8"))


class Peer:
    """A connection, of a client to the proxy or of the proxy to a backend."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def more(self):
        """False at the end, or when the connection was reset."""
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self.buffer += data
        return bool(data)

    def until(self, end):
        while end not in self.buffer:
            assert self.more(), f"an end instead of {end!r}, behind {self.buffer[:200]!r}"
        text, self.buffer = self.buffer.split(end, 1)
        return text

    def exactly(self, count):
        while len(self.buffer) < count:
            assert self.more(), f"an end {count - len(self.buffer)} bytes too early"
        text, self.buffer = self.buffer[:count], self.buffer[count:]
        return text

    def head(self):
        """The first line and the fields, names in lower case."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, value = line.split(":", 1)
            fields.setdefault(name.lower(), []).append(value.strip())
        return first, fields

    def status(self):
        return int(self.head()[0].split()[1])

    def chunk(self):
        size = int(self.until(b"\r\n"), 16)
        data = self.exactly(size)
        assert self.exactly(2) == b"\r\n"
        return data

    def answer(self):
        """A whole answer: its status, fields and body."""
        first, fields = self.head()
        if "content-length" in fields:
            body = self.exactly(int(fields["content-length"][0]))
        elif "transfer-encoding" in fields:
            body = b""
            while piece := self.chunk():
                body += piece
        else:
            while self.more():
                pass
            body = self.buffer
        return int(first.split()[1]), fields, body

    def silent(self, seconds=0.3):
        """Nothing comes for so long."""
        assert not self.buffer, f"already there: {self.buffer[:200]!r}"
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1 << 16)
            raise AssertionError(f"came unasked: {data[:200]!r}")
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(PATIENCE)

    def ended(self, seconds=PATIENCE):
        """The other side ends; how many bytes came before."""
        self.socket.settimeout(seconds)
        count = len(self.buffer)
        self.buffer = b""
        try:
            while data := self.socket.recv(1 << 20):
                count += len(data)
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            raise AssertionError(f"the connection was not ended within {seconds} s") from None
        return count

    def end_writing(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Backend:
    """Listens; what it accepts is for the test to answer."""

    def __init__(self, backlog=64):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.socket.settimeout(PATIENCE)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def accept(self):
        return Peer(self.socket.accept()[0])

    def request(self):
        """A connection, and the head that came by it."""
        peer = self.accept()
        return peer, *peer.head()

    def soon(self, seconds=0.3):
        """Who connects within so long."""
        self.socket.settimeout(seconds)
        try:
            return self.accept()
        except TimeoutError:
            return None
        finally:
            self.socket.settimeout(PATIENCE)

    def waiting(self, seconds=0.3):
        """Whether somebody connects within so long."""
        self.socket.settimeout(seconds)
        try:
            self.socket.accept()[0].close()
            return True
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)


def connect(port=PROXY):
    return Peer(socket.create_connection(("127.0.0.1", port), PATIENCE))


def route(host, *backends, **options):
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=PATIENCE)
    document = {"backends": [getattr(one, "url", one) for one in backends], **options}
    connection.request("PUT", f"/v1/routes/{host}", json.dumps(document))
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, text
    connection.close()


def backends_of(host):
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=PATIENCE)
    connection.request("GET", f"/v1/routes/{host}")
    document = json.loads(connection.getresponse().read())
    connection.close()
    return document["backends"]


def in_flight(host):
    return sum(one["in_flight"] for one in backends_of(host))


def failures_of(host):
    return sum(one["failures"] for one in backends_of(host))


def memory_of(pid, what):
    """Kilobytes: what is VmRSS or VmHWM."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what + ":"))


def eventually(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.02)
