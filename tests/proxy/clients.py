#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, that are there when the proxy ends, and that ask as often as they can:
clients.py SCENARIO [argument...]. A failed assertion is exit 1."""
import os
import signal
import sys
import threading
import time

from ends import Backend, connect, eventually, route

GET = "GET / HTTP/1.1\r\nHost: {}\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: {}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
OK = "HTTP/1.1 200 OK\r\n"
EMPTY = OK + "Content-Length: 0\r\n\r\n"


def slow_clients(results, port, tls_port):
    """Each is given its time, and no more. One line a client goes to the file."""
    backend = Backend()
    backend.socket.settimeout(60)
    route("slow.test", backend)
    lock, lines = threading.Lock(), []
    answers_at_once = {"/quick", "/patient"}

    def serve():
        while True:
            server = backend.accept()
            threading.Thread(target=serve_one, args=(server,), daemon=True).start()

    freed = {}

    def serve_one(server):
        server.socket.settimeout(60)
        first, fields = server.head()
        target = first.split()[1]
        freed[target] = False
        try:
            if target in answers_at_once:
                server.exactly(int(fields["content-length"][0]))
                server.send(EMPTY)
            elif target == "/unread":
                server.send(OK + f"Content-Length: {1 << 30}\r\n\r\n")
                while True:
                    server.send(b"x" * (1 << 16))
            server.ended(60)
        except OSError:
            pass
        finally:
            freed[target] = True

    def report(name, check):
        try:
            check()
            line = f"{name}: ok"
        except Exception as error:  # of whatever kind: it is the result
            line = f"{name}: {type(error).__name__} {error}"
        with lock:
            lines.append(line)

    def client(at=port):
        peer = connect(at)
        peer.socket.settimeout(40)
        return peer

    def between(least, most, begin):
        took = time.monotonic() - begin
        assert least < took < most, f"after {took:.1f} s"

    def trickle(peer, text, pause):
        """Until the other side answers or ends; true when all went."""
        for byte in text:
            try:
                peer.send(bytes([byte]))
            except OSError:
                return False
            peer.socket.settimeout(pause)
            try:
                if not peer.more() or peer.buffer:
                    return False
            except TimeoutError:
                pass
        return True

    def slow_head():
        peer, begin = client(), time.monotonic()
        assert not trickle(peer, b"GET / HTTP/1.1\r\nHost: slow.test\r\nX-Long: " + b"a" * 100, 0.25)
        between(9, 12, begin)
        peer.socket.settimeout(5)
        assert peer.status() == 408

    def no_head():
        peer, begin = client(), time.monotonic()
        peer.ended(40)
        between(9, 12, begin)

    def no_handshake():
        peer, begin = client(int(tls_port)), time.monotonic()
        peer.ended(40)
        between(9, 12, begin)

    def slow_body():
        peer, begin = client(), time.monotonic()
        peer.send(f"POST /slow HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 1000\r\n\r\n")
        assert not trickle(peer, b"b" * 200, 0.2)
        between(9, 23, begin)
        peer.socket.settimeout(5)
        assert peer.status() == 408
        eventually(lambda: freed.get("/slow"))

    def patient():
        """Slow, and not too slow: 500 bytes each second."""
        peer = client()
        peer.send(f"POST /patient HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 6500\r\n\r\n")
        for _ in range(26):
            peer.send(b"p" * 250)
            time.sleep(0.5)
        assert peer.status() == 200

    def unread():
        peer, begin = client(), time.monotonic()
        peer.send("GET /unread HTTP/1.1\r\nHost: slow.test\r\n\r\n")
        eventually(lambda: freed.get("/unread"), 35)
        between(9, 25, begin)

    port = int(port)
    threading.Thread(target=serve, daemon=True).start()
    checks = [slow_head, no_head, no_handshake, slow_body, patient, unread]
    threads = [threading.Thread(target=report, args=(check.__name__, check)) for check in checks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open(results + ".new", "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    os.rename(results + ".new", results)


def drain(pid):
    """TERM: a request under way ends, idle connections are closed, new ones are refused."""
    pid = int(pid)
    backend = Backend()
    route("drain.test", backend)
    idle = connect()
    idle.send(GET.format("drain.test"))
    server, _, _ = backend.request()
    server.send(OK + "Connection: close\r\nContent-Length: 0\r\n\r\n")
    server.close()
    assert idle.answer()[0] == 200
    busy, upload = connect(), connect()
    busy.send(GET.format("drain.test"))
    under_way, _, _ = backend.request()
    upload.send(POST.format("drain.test") + "Content-Length: 8\r\n\r\nhalf")
    loading, _, _ = backend.request()
    assert loading.exactly(4) == b"half"
    os.kill(pid, signal.SIGTERM)
    assert idle.ended(2) == 0

    def refused():
        try:
            connect().close()
            return False
        except ConnectionRefusedError:
            return True

    eventually(refused, 2)
    time.sleep(0.5)
    under_way.send(OK + "Content-Length: 4\r\n\r\ndone")
    status, fields, body = busy.answer()
    assert (status, body) == (200, b"done"), (status, body)
    assert fields.get("connection") == ["close"], fields
    upload.send("half")
    assert loading.exactly(4) == b"half"
    loading.send(EMPTY)
    assert upload.answer()[0] == 200
    busy.ended(2)
    upload.ended(2)


def crowd_at_the_end(pid, name):
    """TERM or USR2 come together with clients that have connected and asked already: all of them are answered."""
    pid = int(pid)
    backend = Backend()
    route("crowd.test", backend)

    def serve():
        while True:
            try:
                server, _, _ = backend.request()
                server.send(OK + "Connection: close\r\nContent-Length: 4\r\n\r\nhere")
                server.close()
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    idle = connect()
    idle.send(GET.format("crowd.test"))
    assert idle.answer()[0] == 200
    os.kill(pid, signal.SIGSTOP)
    silent = connect()  # connects before, asks after
    peers = [connect() for _ in range(50)] + [idle]
    for peer in peers:
        peer.send(GET.format("crowd.test"))
    os.kill(pid, getattr(signal, name))
    os.kill(pid, signal.SIGCONT)
    answered = 0
    for peer in peers:
        try:
            status, _, body = peer.answer()
            answered += (status, body) == (200, b"here")
        except (OSError, AssertionError, ValueError, IndexError) as error:
            print("not answered:", repr(error))
    silent.send(GET.format("crowd.test"))
    assert silent.answer()[0] == 200
    assert answered == len(peers), f"{answered} of {len(peers)} were answered"


def load(host, stop_file, threads=8):
    """Requests until the file is there: each that fails is told. A connection that is closed between two requests is
    no failure, as clients ask again then; one that is refused is, and so is an answer that is cut."""
    failures, counts = [], []

    def one(kind):
        count, peer, used = 0, None, 0
        while not os.path.exists(stop_file):
            try:
                if peer is None:
                    peer, used = connect(), 0
                if kind % 3 == 0:
                    peer.send(POST.format(host) + "Content-Length: 1000\r\n\r\n" + "x" * 1000)
                elif kind % 3 == 1:
                    peer.send(f"GET /bytes/20000 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
                else:
                    peer.send(GET.format(host))
                if used and not peer.buffer and not peer.more():
                    peer = None
                    continue
                status, fields, _ = peer.answer()
                if status != 200:
                    failures.append(f"status {status}")
                used += 1
                count += 1
                if fields.get("connection") == ["close"]:
                    peer.close()
                    peer = None
            except (OSError, AssertionError) as error:
                if not (used and isinstance(error, OSError)):
                    failures.append(f"kind {kind % 3}: {type(error).__name__} {error}")
                peer = None
        counts.append(count)

    workers = [threading.Thread(target=one, args=(kind,)) for kind in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(f"{sum(counts)} requests, {len(failures)} failures {failures[:3]}")
    assert sum(counts) > 0 and not failures


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]](*sys.argv[2:])
    except AssertionError as failed:
        sys.exit(f"{sys.argv[1]}: {failed or 'an assertion in line ' + str(failed.__traceback__.tb_next.tb_lineno)}")
