#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A backend of the hour: backend.py PORT JOURNAL. It may be killed at any time, and is started again.

GET /bytes/<n>, /wait/<seconds>; POST: the length and the SHA-256 of the body; WebSocket: what comes is sent back.
Each answer tells whose it is (X-Backend) and what it answers (X-Id, X-Host), so that one that went astray is seen. A POST
is noted in the journal when its head is there: none may come twice.
"""
import asyncio
import base64
import hashlib
import sys

PORT = int(sys.argv[1])
BLOCK = bytes(range(251)) * 17000  # 4 MB; its length is no power of two, so that a shift is another digest
SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n"
digests = {}


def digest_of(size):
    if size not in digests:
        digests[size] = hashlib.sha256(BLOCK[:size]).hexdigest()
    return digests[size]


async def chunked_body(reader, digest):
    length = 0
    while size := int((await reader.readline()).split(b";")[0], 16):
        digest.update(await reader.readexactly(size))
        await reader.readexactly(2)
        length += size
    await reader.readexactly(2)
    return length


async def sized_body(reader, digest, length):
    left = length
    while left > 0:
        data = await reader.read(min(left, 1 << 16))
        if not data:
            raise asyncio.IncompleteReadError(b"", left)
        digest.update(data)
        left -= len(data)
    return length


async def echo(reader, writer, key):
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    writer.write(SWITCHED.format(accept).encode())
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def answer(reader, writer, journal):
    """False when the connection has served its time."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    if "upgrade" in fields:
        await echo(reader, writer, fields["sec-websocket-key"])
        return False
    extra = ""
    if method == "POST":
        journal.write(f"{fields.get('x-id')}\n".encode())
        digest = hashlib.sha256()
        if fields.get("transfer-encoding") == "chunked":
            length = await chunked_body(reader, digest)
        else:
            length = await sized_body(reader, digest, int(fields["content-length"]))
        body = f"{length} {digest.hexdigest()}".encode()
    elif target.startswith("/bytes/"):
        size = int(target[7:])
        body, extra = BLOCK[:size], f"X-Digest: {digest_of(size)}\r\n"
    else:
        if target.startswith("/wait/"):
            await asyncio.sleep(float(target[6:]))
        body = b"x" * 100
    writer.write((f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nX-Backend: {PORT}\r\nX-Id: {fields.get('x-id')}\r\n"
                  f"X-Host: {fields.get('host')}\r\n{extra}\r\n").encode())
    writer.write(body)
    await writer.drain()
    return fields.get("connection") != "close"


async def serve(reader, writer, journal):
    try:
        while await answer(reader, writer, journal):
            pass
    except (OSError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    with open(sys.argv[2], "ab", buffering=0) as journal:
        server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, journal), "127.0.0.1", PORT, backlog=1024, limit=1 << 18)
        async with server:
            await server.serve_forever()


asyncio.run(main())
