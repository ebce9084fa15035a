#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of the hour, in one process: clients.py NAME DIRECTORY. Until SIGTERM; the tally goes to DIRECTORY/NAME.json.

Every answer is looked at whole: its status, its length and digest, and that it is the answer to what was asked.
"""
import asyncio
import hashlib
import os
import random
import signal
import ssl
import sys
import time

from tally import ALWAYS, HTTP, HTTPS, OF_REDIS, SAFE, STEADY, Tally

NAME, DIRECTORY = sys.argv[1:]
PATIENCE = 60
BLOCK = os.urandom(4 << 20)
tally = Tally(f"{DIRECTORY}/{NAME}.json")
going = True
number = 0
stalls = []  # (when it ended, seconds) that this process itself came to nothing
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE


class Wrong(Exception):
    def __init__(self, stage, **more):
        super().__init__(stage)
        self.stage, self.more = stage, more


def next_id():
    global number
    number += 1
    return f"{NAME}-{number}"


def some_host():
    where = random.random()
    if where < 0.45:
        return random.choice(STEADY)
    return random.choice(OF_REDIS) if where < 0.9 else f"n{random.randrange(50)}.wild.test"


class Client:
    """A connection that is kept, or one for each request."""

    def __init__(self, kind, port=HTTP, tls=False, kept=True):
        self.kind, self.port, self.tls, self.kept = kind, port, tls, kept
        self.reader = self.writer = None
        self.used = 0

    async def open(self):
        if self.writer and self.reader.at_eof():  # the other side ended it while nothing was asked
            self.drop()
            tally.counts["kept connections that the proxy ended between requests"] += 1
        if self.writer is None:
            try:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context if self.tls else None)
            except (OSError, ssl.SSLError) as error:
                raise Wrong("connect", error=repr(error)) from None
            self.used = 0

    def drop(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def answer(self):
        """Its status, fields and body."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Wrong("cut" if error.partial else "no answer", error="end") from None
        except OSError as error:
            raise Wrong("no answer", error=repr(error)) from None
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        try:
            body = await self.reader.readexactly(int(fields.get("content-length", 0)))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Wrong("cut", status=status, backend=fields.get("x-backend"), error=repr(error)) from None
        return status, fields, body

    async def exchange(self, host, identifier, send):
        await self.open()
        try:
            await send(self.writer)
        except OSError as error:  # the answer may be there all the same
            try:
                status, _, _ = await self.answer()
            except Wrong:
                raise Wrong("no answer", error=repr(error)) from None
            raise Wrong("status", status=status) from None
        status, fields, body = await self.answer()
        if status != 200:
            raise Wrong("status", status=status, text=body[:80].decode("latin-1"))
        if fields.get("x-id") != identifier or fields.get("x-host") != host:
            raise Wrong("wrong answer", got=[fields.get("x-id"), fields.get("x-host")])
        self.used += 1
        if not self.kept or fields.get("connection") == "close":
            self.drop()
        return fields, body

    async def ask(self, host, send, identifier, check, method="GET", timed=True):
        begin, reused = time.monotonic(), self.writer is not None and not self.reader.at_eof()
        try:
            async with asyncio.timeout(PATIENCE):
                fields, body = await self.exchange(host, identifier, send)
            check(fields, body)
            if timed:
                tally.took(self.kind, time.monotonic() - begin)
            else:
                tally.counts[self.kind] += 1
        except (Wrong, TimeoutError, ssl.SSLError) as error:
            stage, more = (error.stage, error.more) if isinstance(error, Wrong) else ("timeout", {"error": repr(error)})
            tally.suspect(self.kind, begin, stage, host=host, method=method, reused=reused, id=identifier, stalled=round(stalled_since(begin), 1), **more)
            self.drop()

    async def get(self, target, host=None, timed=True):
        host, identifier = host or some_host(), next_id()
        closing = "" if self.kept else "Connection: close\r\n"

        async def send(writer):
            writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Id: {identifier}\r\n{closing}\r\n".encode())

        def check(fields, body):
            if "x-digest" in fields and hashlib.sha256(body).hexdigest() != fields["x-digest"]:
                raise Wrong("wrong digest")

        await self.ask(host, send, identifier, check, timed=timed)

    async def post(self, size, host=None, pause=0.0, timed=True):
        host, identifier = host or some_host(), next_id()
        begin = random.randrange(len(BLOCK) - size)
        body = BLOCK[begin:begin + size]
        chunked = random.random() < 0.4
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"

        async def send(writer):
            writer.write(f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Id: {identifier}\r\n{framing}\r\n\r\n".encode())
            for at in range(0, size, 1 << 16):
                piece = body[at:at + (1 << 16)]
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
                if at == 0 and pause:
                    await asyncio.sleep(pause)
            if chunked:
                writer.write(b"0\r\n\r\n")
            await writer.drain()

        def check(_, answer):
            if answer.decode() != f"{size} {hashlib.sha256(body).hexdigest()}":
                raise Wrong("wrong digest", got=answer[:80].decode("latin-1"))

        await self.ask(host, send, identifier, check, "POST", timed)


async def gets(kind, pause, **options):
    client = Client(kind, **options)
    while going:
        large = random.random() < 0.04
        await client.get(f"/bytes/{random.choice((20_000, 300_000, 2_000_000))}" if large else "/small", timed=not large)
        await asyncio.sleep(random.uniform(0, 2 * pause))


async def posts(pause):
    client = Client("POST 1 KB, kept")
    while going:
        what = random.random()
        if what < 0.7:
            await client.post(1000)
        elif what < 0.95:
            await client.post(random.randrange(10_000, 1_000_000), timed=False)
        else:
            await client.post(100_000, pause=random.uniform(0.1, 4), timed=False)
        await asyncio.sleep(random.uniform(0, 2 * pause))


async def safe_posts(pause):
    """To a host none of whose backends is killed: no excuses."""
    client = Client("POST, nobody killed")
    while going:
        await client.post(random.choice((1000, 1000, 200_000)), SAFE, random.choice((0, 0, 0, 1)), timed=False)
        await asyncio.sleep(random.uniform(0, 2 * pause))


async def waits():
    client = Client("GET answered late")
    while going:
        await client.get(f"/wait/{random.uniform(0.2, 6):.2f}", timed=False)


async def direct(pause):
    """Past the proxy: what the machine itself does to the times."""
    client = Client("no proxy: GET, kept", port=ALWAYS[0])
    while going:
        await client.get("/small", SAFE)
        await asyncio.sleep(random.uniform(0, 2 * pause))


async def sockets():
    """A WebSocket of a few seconds; everything that was sent comes back."""
    while going:
        begin, client = time.monotonic(), Client("WebSocket")
        try:
            async with asyncio.timeout(PATIENCE):
                await client.open()
                client.writer.write((f"GET /socket HTTP/1.1\r\nHost: {SAFE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
                head = await client.reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 101 "):
                    raise Wrong("status", status=head.split(b" ")[1].decode())
            for _ in range(random.randrange(5, 25)):
                at = random.randrange(1 << 20)
                data = BLOCK[at:at + random.randrange(1, 20_000)]
                async with asyncio.timeout(PATIENCE):
                    client.writer.write(data)
                    if await client.reader.readexactly(len(data)) != data:
                        raise Wrong("wrong bytes")
                await asyncio.sleep(random.uniform(0, 0.3))
            tally.counts[client.kind] += 1
        except (Wrong, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            tally.suspect(client.kind, begin, getattr(error, "stage", "cut"), host=SAFE, method="GET", **{"error": repr(error), **getattr(error, "more", {})})
            await asyncio.sleep(0.2)
        client.drop()


async def curls():
    """HTTP/2 with several requests at once on one connection, HTTP/1.1 with TLS now and then, and a POST."""
    upload = f"{DIRECTORY}/{NAME}.upload"
    with open(upload, "wb") as file:
        file.write(BLOCK[:300_000])
    expected = f"300000 {hashlib.sha256(BLOCK[:300_000]).hexdigest()}"
    while going:
        version = random.choice(("--http2", "--http2", "--http2", "--http1.1"))
        host = some_host()
        words = ["curl", "-sk", version, "--max-time", str(PATIENCE), "--connect-to", f"::127.0.0.1:{HTTPS}"]
        post = random.random() < 0.3
        if post:
            words += ["--data-binary", f"@{upload}", "-H", "Expect:", "-w", " %{exitcode} %{http_code}\\n", f"https://{host}/"]
        else:
            words += ["--parallel", "-o", "/dev/null", "-w", "%{exitcode} %{http_code} %{size_download}\\n",
                      f"https://{host}/bytes/[{random.choice(('1-12', '20001-20006', '400001-400004'))}]"]
        kind = f"curl {version.lstrip('-')}{' POST' if post else ''}"
        begin = time.monotonic()
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
        output = (await process.communicate())[0].decode()
        for line in output.splitlines():
            good = line == f"{expected} 0 200" if post else line.startswith("0 200 ") and int(line.split()[2]) > 0
            if good:
                tally.counts[kind] += 1
            else:
                tally.suspect(kind, begin, "curl", host=host, method="POST" if post else "GET", text=line[-120:])
        if not output:
            tally.suspect(kind, begin, "curl", host=host, method="POST" if post else "GET", text=f"nothing, exit {process.returncode}")
        await asyncio.sleep(random.uniform(0.5, 3))


def stalled_since(begin):
    return max((seconds for end, seconds in stalls if end >= begin), default=0.0)


async def watch():
    """On a busy machine it may be the client that is late, and the proxy gives it ten seconds."""
    while going:
        begin = time.monotonic()
        await asyncio.sleep(0.1)
        if (late := time.monotonic() - begin - 0.1) > 1:
            stalls.append((time.monotonic(), late))
            del stalls[:-1000]


async def writes():
    while going:
        await asyncio.sleep(5)
        tally.write()


def stop():
    global going
    going = False


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    tasks = [gets("GET, kept", 0.03) for _ in range(8)]
    tasks += [gets("GET, new connection", 0.05, kept=False) for _ in range(2)]
    tasks += [gets("GET, TLS, kept", 0.05, port=HTTPS, tls=True) for _ in range(2)]
    tasks += [gets("GET, TLS, new connection", 0.4, port=HTTPS, tls=True, kept=False)]
    tasks += [posts(0.06) for _ in range(3)] + [safe_posts(0.1)] + [waits() for _ in range(3)]
    tasks += [direct(0.05), sockets(), sockets(), curls()]
    background = [asyncio.ensure_future(writes()), asyncio.ensure_future(watch())]
    await asyncio.gather(*tasks)
    for one in background:
        one.cancel()
    tally.write()


asyncio.run(main())
