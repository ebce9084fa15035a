# SPDX-License-Identifier: Apache-2.0
"""A second opinion about HTTP/1.1: messages are parsed here as RFC 9112 writes them, and nothing else is taken.

Both ends of the suite read with it, what the proxy sends to backends and what it sends to clients, so it shares no
code and no leniency with the proxy.
"""
import re
from dataclasses import dataclass, field

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/(1\.[01])\Z")
STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\Z")
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\Z")


class Malformed(Exception):
    """Not what RFC 9112 lets a sender write."""


@dataclass
class Message:
    """A request or an answer; `complete` is false while its body has not come to its end."""
    method: str = ""
    target: str = ""
    status: int = 0
    reason: str = ""
    fields: list = field(default_factory=list)  # of (name, value)
    framing: str = "none"  # or length, chunked, close
    body: bytes = b""
    trailers: list = field(default_factory=list)
    complete: bool = False

    def values(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]


def parse_fields(lines):
    fields = []
    for line in lines:
        match = FIELD_LINE.match(line)
        if not match:
            raise Malformed(f"the field line {line[:80]!r}")
        fields.append((match[1].decode("latin-1"), match[2].decode("latin-1")))
    return fields


def split_head(data):
    """The lines of a head and its length, or None while its empty line has not come."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(data[:end]).split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Malformed(f"the line {line[:80]!r}")
    return lines, end + 4


def length_of(message):
    """What Content-Length says, or None. More than one answer to where a message ends is no answer."""
    lengths, codings = message.values("Content-Length"), message.values("Transfer-Encoding")
    if len(lengths) + len(codings) > 1:
        raise Malformed(f"framed twice: Content-Length {lengths}, Transfer-Encoding {codings}")
    if codings and codings[0].lower() != "chunked":
        raise Malformed(f"Transfer-Encoding: {codings[0]}")
    if not lengths:
        return None
    if not re.fullmatch("[0-9]+", lengths[0]):
        raise Malformed(f"Content-Length: {lengths[0]}")
    return int(lengths[0])


def parse_request_head(data):
    """(message, length of the head), or None."""
    split = split_head(data)
    if split is None:
        return None
    lines, used = split
    match = REQUEST_LINE.match(lines[0])
    if not match:
        raise Malformed(f"the request line {lines[0][:80]!r}")
    message = Message(method=match[1].decode(), target=match[2].decode(), fields=parse_fields(lines[1:]))
    if match[3] != b"1.1":
        raise Malformed("a request that is not HTTP/1.1")
    length = length_of(message)
    if message.values("Transfer-Encoding"):
        message.framing = "chunked"
    elif length is not None:
        message.framing = "length"
    return message, used


def parse_answer_head(data, to_head):
    split = split_head(data)
    if split is None:
        return None
    lines, used = split
    match = STATUS_LINE.match(lines[0])
    if not match:
        raise Malformed(f"the status line {lines[0][:80]!r}")
    message = Message(status=int(match[2]), reason=match[3].decode("latin-1"), fields=parse_fields(lines[1:]))
    length = length_of(message)
    informational = message.status < 200
    if (informational or message.status == 204) and (length is not None or message.values("Transfer-Encoding")):
        raise Malformed(f"{message.status} with a field that frames (RFC 9110, section 8.6; RFC 9112, section 6.1)")
    if informational or message.status in (204, 304) or to_head:
        message.framing = "none"
    elif message.values("Transfer-Encoding"):
        message.framing = "chunked"
    else:
        message.framing = "close" if length is None else "length"
    return message, used


def take_line(data, at):
    end = data.find(b"\r\n", at)
    if end < 0:
        return None, at
    return bytes(data[at:end]), end + 2


def read_chunks(message, data, at):
    """Fills in what has come of a chunked body; returns where it ends, or None."""
    message.body = b""
    while True:
        line, at = take_line(data, at)
        if line is None:
            return None
        match = CHUNK_LINE.match(line)
        if not match:
            raise Malformed(f"the chunk's line {line[:80]!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        message.body += bytes(data[at:at + size])
        if len(data) < at + size + 2:
            return None
        if data[at + size:at + size + 2] != b"\r\n":
            raise Malformed("a chunk that does not end where its size says")
        at += size + 2
    lines = []
    while True:
        line, at = take_line(data, at)
        if line is None:
            return None
        if not line:
            message.trailers = parse_fields(lines)
            return at
        lines.append(line)


def read_body(message, data, at, ended):
    """Fills in the body that begins at `at`, as far as it has come; returns where it ends, or None."""
    if message.framing == "none":
        end = at
    elif message.framing == "length":
        length = int(message.values("Content-Length")[0])
        message.body = bytes(data[at:at + length])
        end = at + length if len(data) >= at + length else None
    elif message.framing == "chunked":
        end = read_chunks(message, data, at)
    else:
        message.body = bytes(data[at:])
        end = len(data) if ended else None
    message.complete = end is not None
    return end


def parse_answer(data, to_head, ended):
    """(message, its length) of the first answer within `data`, which may be incomplete; None without a head."""
    head = parse_answer_head(data, to_head)
    if head is None:
        return None
    message, used = head
    return message, read_body(message, data, used, ended)
