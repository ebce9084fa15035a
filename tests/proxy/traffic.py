#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes through the proxy, seen from both ends: traffic.py SCENARIO [argument...]. A failed assertion is exit 1."""
import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time

from ends import PATIENCE, Backend, Peer, backends_of, connect, eventually, failures_of, in_flight, memory_of, route

GET = "GET / HTTP/1.1\r\nHost: {}\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: {}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
OK = "HTTP/1.1 200 OK\r\n"
EMPTY = OK + "Content-Length: 0\r\n\r\n"
UPGRADE = ("GET /socket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
SWITCHED = ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def streamed_answer():
    """Each piece is at the client before the next is sent, in all three framings."""
    backend = Backend()
    route("stream.test", backend)
    for framing in ("chunked", "length", "close"):
        client = connect()
        client.send(GET.format("stream.test"))
        server, _, _ = backend.request()
        server.send(OK + {"chunked": CHUNKED, "length": "Content-Length: 25\r\n\r\n", "close": "Connection: close\r\n\r\n"}[framing])
        _, fields = client.head()
        assert ("content-length" in fields) == (framing == "length"), fields
        for number in range(5):
            client.silent(0.02)
            piece = f"part{number}"
            server.send(f"5\r\n{piece}\r\n" if framing == "chunked" else piece)
            got = client.exactly(5) if framing == "length" else client.chunk()
            assert got.decode() == piece, got
        if framing == "chunked":
            server.send("0\r\n\r\n")
        if framing != "length":
            server.close()
            assert client.chunk() == b""
        client.close()
        server.close()


def until_the_end():
    """Answers without a length that are there at once, their end with them."""
    backend = Backend()
    route("end.test", backend)
    for size in (0, 1, 1000, 65536, 200000):
        for _ in range(20):
            client = connect()
            client.send(GET.format("end.test"))
            server, _, _ = backend.request()
            server.send((OK + "\r\n").encode() + b"e" * size)
            server.close()
            begin = time.monotonic()
            status, _, body = client.answer()
            assert status == 200 and len(body) == size, f"{len(body)} of {size}"
            assert time.monotonic() - begin < 1.5, "the end was not noticed"
            client.close()


def streamed_request():
    """And the other way; the answer may begin before the request has ended."""
    backend = Backend()
    route("upstream.test", backend)
    for chunked in (True, False):
        client = connect()
        client.send(POST.format("upstream.test") + (CHUNKED if chunked else "Content-Length: 25\r\n\r\n"))
        server, _, fields = backend.request()
        assert ("transfer-encoding" in fields) == chunked, fields
        server.send(OK + CHUNKED)
        assert client.status() == 200
        for number in range(5):
            server.silent(0.02)
            client.send(f"5\r\npart{number}\r\n" if chunked else f"part{number}")
            assert (server.chunk() if chunked else server.exactly(5)) == b"part%d" % number
            server.send(f"4\r\ngot{number}\r\n")
            assert client.chunk() == b"got%d" % number
        if chunked:
            client.send("0\r\n\r\n")
            assert server.chunk() == b""
        server.send("0\r\n\r\n")
        assert client.chunk() == b""
        client.close()
        server.close()


def flat_memory(pid, size):
    """Large bodies, both ways, with a length and without."""
    pid, size = int(pid), int(size) << 20
    backend = Backend()
    route("large.test", backend)
    block = os.urandom(1 << 20)

    def give(peer, chunked):
        frame = b"%x\r\n%s\r\n" % (len(block), block) if chunked else block
        for _ in range(size // len(block)):
            peer.send(frame)
        if chunked:
            peer.send("0\r\n\r\n")

    def take(peer, chunked):
        """The whole body; of chunks the frames are not known beforehand, so they are read one by one."""
        expected = memoryview(block)
        position, left = 0, size
        room = bytearray(1 << 20)
        while left > 0:
            piece = int(peer.until(b"\r\n"), 16) if chunked else left
            while piece > 0:
                if peer.buffer:
                    count = min(len(peer.buffer), piece)
                    got, peer.buffer = memoryview(peer.buffer[:count]), peer.buffer[count:]
                else:
                    count = peer.socket.recv_into(room, min(piece, len(room)))
                    assert count > 0, f"cut {left} bytes before the end"
                    got = memoryview(room)[:count]
                begin = 0
                while begin < count:
                    step = min(count - begin, len(block) - position)
                    assert got[begin:begin + step] == expected[position:position + step], f"other bytes, {left} before the end"
                    begin += step
                    position = (position + step) % len(block)
                piece -= count
                left -= count
            if chunked:
                assert peer.exactly(2) == b"\r\n"
        if chunked:
            assert peer.chunk() == b""

    for chunked in (False, True):
        framing = CHUNKED if chunked else f"Content-Length: {size}\r\n\r\n"
        client = connect()
        client.send(GET.format("large.test"))
        server, _, _ = backend.request()
        server.send(OK + framing)
        giver = threading.Thread(target=give, args=(server, chunked))
        giver.start()
        assert client.status() == 200
        take(client, chunked)
        giver.join()
        server.close()
        client.close()
        client = connect()
        client.send(POST.format("large.test") + framing)
        server, _, _ = backend.request()
        giver = threading.Thread(target=give, args=(client, chunked))
        giver.start()
        take(server, chunked)
        giver.join()
        server.send(EMPTY)
        assert client.status() == 200
        client.close()
        server.close()
    peak = memory_of(pid, "VmHWM")
    assert peak < 40 << 10, f"{peak} kB at most in memory"
    print(f"{peak} kB")


def flat_memory_http2(pid, size):
    """The client reads in small pieces, and the backend in pauses: neither end ever has all."""
    pid, size = int(pid), int(size) << 20
    backend = Backend()
    route("streams.test", backend)
    block = os.urandom(1 << 20)
    options = ["curl", "-s", "--http2-prior-knowledge", "-H", "Host: streams.test", "http://127.0.0.1:8000/"]
    with subprocess.Popen([*options, "--limit-rate", "50M"], stdout=subprocess.PIPE) as client:
        server, _, _ = backend.request()
        server.send(OK + f"Content-Length: {size}\r\n\r\n")
        giver = threading.Thread(target=lambda: [server.send(block) for _ in range(size >> 20)])
        giver.start()
        got = 0
        while piece := client.stdout.read(1 << 16):
            got += len(piece)
        assert got == size, f"{got} of {size}"
        giver.join()
        server.close()
    with subprocess.Popen([*options, "-T", "-", "-H", "Expect:"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        def give():
            for _ in range(size >> 20):
                client.stdin.write(block)
            client.stdin.close()
        giver = threading.Thread(target=give)
        giver.start()
        server, _, _ = backend.request()
        got = 0
        while piece := server.chunk():
            got += len(piece)
        assert got == size, f"{got} of {size}"
        server.send(EMPTY)
        giver.join()
        client.stdin = None
        server.close()
    peak = memory_of(pid, "VmHWM")
    assert peak < 40 << 10, f"{peak} kB at most in memory"
    print(f"{peak} kB")


def push_until_stuck(peer, most, block=b"x" * (1 << 16)):
    """How many bytes are taken when nobody reads at the other end."""
    peer.socket.settimeout(0.5)
    count = 0
    try:
        while count < most:
            count += peer.socket.send(block)
    except (TimeoutError, ConnectionResetError, BrokenPipeError):
        pass
    peer.socket.settimeout(PATIENCE)
    return count


def unread_answers(pid):
    """Whoever asks without an end and reads no answer is not asked for more, and others are served meanwhile."""
    backend = Backend()
    route("meanwhile.test", backend)
    client = connect()
    most = 200 << 20
    sent = push_until_stuck(client, most, GET.format("__ping__").encode() * 1000)
    assert sent < most, f"{sent} bytes of requests were taken, and nobody read the answers"
    resident = memory_of(pid, "VmRSS")
    assert resident < 40 << 10, f"{resident} kB in memory"
    other = connect()
    other.send(GET.format("meanwhile.test"))
    server, _, _ = backend.request()
    server.send(EMPTY)
    assert other.status() == 200
    client.close()


def stalled(pid):
    """Whoever sends waits for whoever reads, and the proxy keeps little in between."""
    backend = Backend()
    route("stalled.test", backend)
    size = 400 << 20
    for upload in (True, False):
        client = connect()
        client.send(POST.format("stalled.test") + f"Content-Length: {size}\r\n\r\n" if upload else GET.format("stalled.test"))
        server, _, _ = backend.request()
        if not upload:
            server.send(OK + f"Content-Length: {size}\r\n\r\n")
        giver, taker = (client, server) if upload else (server, client)
        sent = push_until_stuck(giver, size)
        assert sent < 100 << 20, f"{sent} bytes were taken, and nobody read them"
        resident = memory_of(pid, "VmRSS")
        assert resident < 40 << 10, f"{resident} kB in memory"
        if not upload:
            assert client.status() == 200
        giver.end_writing() if upload else giver.close()
        assert taker.ended() == sent, "what had been taken did not come"
        client.close()
        server.close()


def tunnel():
    backend = Backend()
    route("socket.test", backend)

    def opened():
        client = connect()
        client.send(UPGRADE.format("socket.test"))
        server, first, fields = backend.request()
        assert first == "GET /socket HTTP/1.1", first
        assert fields["upgrade"] == ["websocket"] and fields["connection"] == ["Upgrade"], fields
        server.send(SWITCHED + "early")
        first, fields = client.head()
        assert first.split()[1] == "101" and fields["sec-websocket-accept"] == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="], fields
        assert client.exactly(5) == b"early"
        return client, server

    client, server = opened()
    for number in range(20):
        client.send(f"up{number:03}")
        assert server.exactly(5) == b"up%03d" % number
        server.send(f"do{number:03}")
        assert client.exactly(5) == b"do%03d" % number
    client.end_writing()
    assert not server.more(), "the client's end comes through"
    server.send("still")
    assert client.exactly(5) == b"still"
    server.close()
    assert client.ended() == 0
    client, server = opened()
    server.end_writing()
    assert not client.more(), "the backend's end comes through"
    client.send("still")
    assert server.exactly(5) == b"still"
    client.close()
    server.ended()
    client, server = opened()
    client.reset()
    server.ended()


def tunnel_to_the_end():
    """What a backend sent before its end arrives, however slowly it is read."""
    backend = Backend()
    route("socket.test", backend)
    size = 64 << 20
    for half_closed in (True, False):
        client = connect()
        client.send(UPGRADE.format("socket.test"))
        server, _, _ = backend.request()
        server.send(SWITCHED)
        assert client.status() == 101
        if half_closed:
            client.end_writing()
            assert not server.more()

        def give():
            server.send(b"z" * size)
            server.close()

        giver = threading.Thread(target=give)
        giver.start()
        time.sleep(0.5)  # so that everything in between is full
        got = client.ended()
        giver.join()
        assert got == size, f"{got} of {size} bytes came, {'behind a half-close' if half_closed else 'in the open'}"
        client.close()


def no_tunnel():
    """Nothing is switched to that was not asked for."""
    backend = Backend()
    route("plain.test", backend)
    client = connect()
    client.send(GET.format("plain.test"))
    server, _, _ = backend.request()
    server.send(SWITCHED + "smuggled")
    status, _, body = client.answer()
    assert status == 502 and b"smuggled" not in body, (status, body)
    client = connect()
    client.send("GET / HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n")
    server, _, fields = backend.request()
    assert "upgrade" not in fields and "http2-settings" not in fields, fields


def client_gone(how):
    """A backend is not kept busy for nobody."""
    backend = Backend()
    route("gone.test", backend)
    leave = Peer.reset if how == "reset" else Peer.close
    for state in ("waiting", "answer", "upload"):
        client = connect()
        client.send(GET.format("gone.test") if state != "upload" else POST.format("gone.test") + "Content-Length: 1000\r\n\r\nx")
        server, _, _ = backend.request()
        if state == "answer":
            server.send(OK + CHUNKED + "1\r\nx\r\n")
            client.head()
            client.chunk()
        leave(client)
        if state == "answer" and how == "closed":  # the kernel says so only when something is sent to who has left
            for _ in range(20):
                try:
                    server.send("1\r\nx\r\n")
                    time.sleep(0.02)
                except OSError:
                    break
        if state == "waiting" and how == "closed":
            # An end may be a half-close: whether somebody still reads is known when there is something to read.
            server.send(OK + "Content-Length: 100000000\r\n\r\n")
            push_until_stuck(server, 100000000)
        try:
            server.ended(3)
        except AssertionError as error:
            raise AssertionError(f"{state}: {error}") from None
        eventually(lambda: in_flight("gone.test") == 0)


def half_closed():
    """A client may end its side behind its request, as netcat does."""
    backend = Backend()
    route("half.test", backend)
    client = connect()
    client.send(GET.format("half.test"))
    client.end_writing()
    server, _, _ = backend.request()
    server.send(OK + "Content-Length: 2\r\n\r\nok")
    assert client.answer()[2] == b"ok"


def sent_once():
    """What may have been carried out is not sent again; what cannot have been is."""
    one, other = Backend(), Backend()
    route("once.test", one, other)

    def serve(backend, seen):
        while True:
            try:
                server, first, _ = backend.request()
            except OSError:
                return
            seen.append(first.split()[0])
            server.close()

    seen = []
    for backend in (one, other):
        threading.Thread(target=serve, args=(backend, seen), daemon=True).start()
    for request, most in ((POST + "Content-Length: 4\r\n\r\nbody", 1), (POST + "Content-Length: 0\r\n\r\n", 1),
                          (POST + CHUNKED + "4\r\nbody\r\n0\r\n\r\n", 1), (GET, 2)):
        del seen[:]
        client = connect()
        client.send(request.format("once.test"))
        assert client.answer()[0] == 502
        assert len(seen) == most, f"{len(seen)} times for {request.splitlines()[0]}"
    good = Backend()
    route("refused.test", "http://127.0.0.1:1", good)
    for _ in range(4):
        client = connect()
        client.send(POST.format("refused.test") + "Content-Length: 4\r\n\r\nbody")
        server, _, _ = good.request()
        assert server.exactly(4) == b"body"
        server.send(EMPTY)
        assert client.status() == 200
        server.close()


def idle_closed():
    """A backend may close a connection between two requests."""
    backend = Backend()
    route("idle.test", backend)

    closed = threading.Semaphore(0)

    def serve():
        while True:
            server, _, fields = backend.request()
            heads.append(server.exactly(int(fields.get("content-length", ["0"])[0])))
            server.send(OK + "Content-Length: 2\r\n\r\nok")
            server.close()
            closed.release()

    heads = []
    threading.Thread(target=serve, daemon=True).start()
    client = connect()
    for number in range(50):
        client.send(GET.format("idle.test"))
        status = client.answer()[0]
        assert status == 200, f"{status} for GET {number}"
        assert closed.acquire(timeout=PATIENCE)
    for number in range(20):
        time.sleep(0.05)
        client.send(POST.format("idle.test") + "Content-Length: 4\r\n\r\nbody")
        status = client.answer()[0]
        assert status == 200, f"{status} for POST {number}"
        assert closed.acquire(timeout=PATIENCE)
    assert len(heads) == 70, f"{len(heads)} requests came of 70"


def lost_on_idle():
    """A request that meets the end of an idle connection is asked again on a new one, if it may be."""
    backend = Backend()
    route("lost.test", backend)
    for request, again in ((GET, True), (POST + "Content-Length: 4\r\n\r\nbody", False)):
        client = connect()
        client.send(GET.format("lost.test"))
        server, _, _ = backend.request()
        server.send(EMPTY)
        client.answer()
        client.send(request.format("lost.test"))
        server.head()
        server.close()
        if again:
            server, _, _ = backend.request()
            server.send(EMPTY)
            assert client.status() == 200
        else:
            assert client.status() == 502
            assert not backend.waiting(), "a POST was sent twice"
        client.close()
        server.close()


def slow_reader():
    """Whoever reads a little all the time is served to the end, however much the kernel has taken already."""
    size = 24 << 20
    backend = Backend()
    route("slow.test", backend)
    client = connect()
    client.send(GET.format("slow.test"))
    server, _, _ = backend.request()
    server.socket.settimeout(120)
    giver = threading.Thread(target=lambda: server.send((OK + f"Content-Length: {size}\r\n\r\n").encode() + b"s" * size))
    giver.start()
    assert client.status() == 200
    left = size
    for _ in range(25):
        left -= len(client.exactly(40_000))
        time.sleep(1)
    client.exactly(left)
    giver.join()


def lost_is_no_try():
    """It is not one of the tries that a route allows: the other backend is asked as well."""
    for _ in range(3):
        going, other = Backend(), Backend()
        route("tries.test", going, retries={"attempts": 1})
        client = connect()
        client.send(GET.format("tries.test"))
        server, _, _ = going.request()
        server.send(EMPTY)
        client.answer()
        # By weight to the first one, as good as always.
        route("tries.test", {"url": going.url, "weight": 1000}, {"url": other.url, "weight": 1}, retries={"attempts": 1})
        client.send(GET.format("tries.test"))
        server.head()
        going.socket.close()
        server.close()
        server, _, _ = other.request()
        server.send(EMPTY)
        assert client.status() == 200
        client.close()
        server.close()
        other.socket.close()


def leftovers():
    """What a backend sends behind its answer is nobody's answer."""
    backend = Backend()
    route("behind.test", backend)
    client = connect()
    client.send(GET.format("behind.test"))
    server, _, _ = backend.request()
    server.send(EMPTY + OK + "Content-Length: 8\r\n\r\npoisoned")
    client.answer()
    client.send(GET.format("behind.test"))
    second, _, _ = backend.request()
    second.send(OK + "Content-Length: 4\r\n\r\ngood")
    assert client.answer()[2] == b"good"


def waits_to_continue():
    """A client that asks whether to send waits for the backend: it is not slow itself. And where neither goes on, the
    backend is not to blame."""
    backend, other = Backend(), Backend()
    head = POST.format("wait.test") + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    route("wait.test", backend, timeouts={"answer_ms": 20000})
    client = connect()
    client.socket.settimeout(20)
    client.send(head)
    server, _, _ = backend.request()
    client.silent(13)
    server.send("HTTP/1.1 100 Continue\r\n\r\n")
    assert client.status() == 100
    client.send("hello")
    assert server.exactly(5) == b"hello"
    server.send(EMPTY)
    assert client.status() == 200
    server.close()
    route("wait.test", backend, other, balance="round-robin")
    for _ in range(2):
        client = connect()
        client.send(head)
        assert client.status() == 504
        assert client.ended() > 0
    assert failures_of("wait.test") == 0, "a client that sends nothing made its backend a dead one"


def no_descriptors(pid):
    """Where descriptors are short, idle connections give theirs, and then requests are refused; no backend is marked."""
    backends = Backend(), Backend()
    spare = Backend()
    route("short.test", *backends)
    route("spare.test", spare)
    clients = [connect() for _ in range(3)]
    for client in clients:  # all of one worker or not: each is known to be accepted
        client.send(GET.format("__ping__"))
        assert client.answer()[0] == 200
    clients[0].send(GET.format("spare.test"))
    idle, _, _ = spare.request()
    idle.send(EMPTY)
    assert clients[0].answer()[0] == 200
    # The limit is of their numbers: those between the ones in use are to be taken.
    while set(range(1 + max(numbers := set(map(int, os.listdir(f"/proc/{pid}/fd")))))) - numbers:
        clients.append(connect())
        clients[-1].send(GET.format("__ping__"))
        assert clients[-1].answer()[0] == 200
    limit = resource.prlimit(int(pid), resource.RLIMIT_NOFILE)
    resource.prlimit(int(pid), resource.RLIMIT_NOFILE, (1 + max(numbers), limit[1]))
    try:
        clients[0].send(GET.format("short.test"))  # the idle connection's place is free for it
        taken = next(one for one in map(Backend.soon, backends) if one)
        taken.head()
        idle.ended()
        clients[1].send(GET.format("short.test"))
        assert clients[1].answer()[0] == 503
        taken.send(OK + "Content-Length: 0\r\nConnection: close\r\n\r\n")
        assert clients[0].answer()[0] == 200
    finally:
        resource.prlimit(int(pid), resource.RLIMIT_NOFILE, limit)
    assert failures_of("short.test") == 0, "backends were marked for what is lacking here"
    clients[2].send(GET.format("short.test"))
    server = next(one for one in map(Backend.soon, backends) if one)
    server.head()
    server.send(EMPTY)
    assert clients[2].answer()[0] == 200


def no_ports():
    """Where ports are short, requests are refused; neither a request nor a health check takes that for a death."""
    backend, other = Backend(), Backend()
    route("ports.test", backend, other, balance="round-robin", health={"path": "/", "interval_ms": 200})
    clients = [connect() for _ in range(4)]
    for client in clients:
        client.send(GET.format("__ping__"))
        assert client.answer()[0] == 200
    with open("/proc/sys/net/ipv4/ip_local_port_range", "r+", encoding="ascii") as file:
        before = file.read()
        holders = []
        try:
            os.pwrite(file.fileno(), b"40000 40001", 0)
            for one in (backend, other):  # both ports, to each backend
                with contextlib.suppress(OSError):
                    while True:
                        holders.append(socket.create_connection(one.socket.getsockname(), PATIENCE))
            time.sleep(0.5)
            for client in clients:
                client.send(GET.format("ports.test"))
                assert client.answer()[0] == 503
        finally:
            os.pwrite(file.fileno(), before.strip().encode(), 0)
    assert failures_of("ports.test") == 0, "backends were marked for what is lacking here"
    assert all(one["alive"] for one in backends_of("ports.test"))
    for holder in holders:
        holder.close()


def silent_backends(seconds):
    """504 for who accepts and says nothing, for who does not accept, and for who is not there."""
    limit = float(seconds)
    quiet, full = Backend(), Backend(backlog=0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.socket.getsockname())
        fillers.append(filler)
    route("quiet.test", quiet)
    route("full.test", full)
    route("nowhere.test", "http://10.99.0.2:80")
    clients = {}
    begin = time.monotonic()
    for host in ("quiet.test", "full.test", "nowhere.test"):
        clients[host] = connect()
        clients[host].send(GET.format(host))
    for host, client in clients.items():
        status = client.status()
        assert status == 504, f"{status} of {host}"
        took = time.monotonic() - begin
        assert limit - 0.3 < took < limit + 1.5, f"{host}: after {took:.1f} s"
    quiet.request()[0].ended()
    good = Backend()
    route("mixed.test", "http://10.99.0.2:80", good)
    begin = time.monotonic()
    for _ in range(6):
        client = connect()
        client.send(GET.format("mixed.test"))
        server, _, _ = good.request()
        server.send(EMPTY)
        assert client.status() == 200
        server.close()
    took = time.monotonic() - begin
    assert took < 2 * limit, f"six requests took {took:.1f} s: the dead one was tried again and again"
    client = connect()
    client.send(GET.format("quiet.test"))
    server, _, _ = quiet.request()
    server.send(OK + "Content-Length: 10\r\n\r\nhalf")
    assert client.status() == 200
    assert client.ended() == 4, "a half answer is cut, and not made whole"


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
    except AssertionError as failed:
        sys.exit(f"{sys.argv[1]}: {failed or 'an assertion in line ' + str(failed.__traceback__.tb_next.tb_lineno)}")
