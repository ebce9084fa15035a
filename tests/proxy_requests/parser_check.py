# SPDX-License-Identifier: Apache-2.0
"""Shows that the parser of both ends refuses what it has to: a check that takes everything finds nothing."""
from backend import faults
from strict_http import Malformed, Message, parse_answer, parse_request_head, read_body

HOST = b"Host: a\r\n"
BAD_REQUESTS = [
    b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
    b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /\x80 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\n" + HOST + b"\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\nb\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
]
BAD_CHUNKS = [
    b"1;a\r\na\r\n0\r\n\r\n", b"0x1\r\na\r\n0\r\n\r\n", b"1 \r\na\r\n0\r\n\r\n", b"1\r\nab\r\n0\r\n\r\n", b"\r\n",
    b"1\r\na\n\n0\r\n\r\n", b"0000000000000001\r\na\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\n X: y\r\n\r\n",
]
BAD_ANSWERS = [
    b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 200 O\0K\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
]
GOOD = [("Host", "a"), ("X-Forwarded-For", "b"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", "1"),
        ("X-Real-IP", "b")]
BAD_FIELDS = [[field] for field in GOOD] + [
    [("TE", "trailers")], [("Keep-Alive", "x")], [("Proxy-Connection", "x")], [("Proxy-Authorization", "x")],
    [("Upgrade", "h2c"), ("Connection", "Upgrade")], [("Upgrade", "websocket")], [("Connection", "Upgrade")],
]


def is_refused(parse, *arguments):
    try:
        parse(*arguments)
    except Malformed:
        return True
    return False


def parse_chunks(data):
    read_body(Message(framing="chunked"), data, 0, True)


def what_is_taken():
    """What should have been refused and was not."""
    taken = [data for data in BAD_REQUESTS if not is_refused(parse_request_head, data)]
    taken += [data for data in BAD_CHUNKS if not is_refused(parse_chunks, data)]
    taken += [data for data in BAD_ANSWERS if not is_refused(parse_answer, data, False, True)]
    taken += [fields for fields in BAD_FIELDS if not faults(Message(method="GET", fields=GOOD + fields))]
    if faults(Message(method="GET", fields=GOOD)):
        taken.append("and what is good is refused")
    return taken
