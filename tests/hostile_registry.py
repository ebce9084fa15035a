#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A registry that lies, for hostile_registry_e2e.sh. Loopback only, plain HTTP, Python's standard library alone.

    tests/hostile_registry.py            prints "PORT OTHER" (two listeners) and serves until it is killed

Every repository is the same small image (2 gzip layers, one of 8 MB that do not compress) under the tag 1, told with
the lie that the repository's name selects: see LIES at the end. What was asked is kept: GET /_log and, of the second
listener, where redirects and tokens lead to, GET /_other answer it as JSON lines; GET /_forget empties both and starts
the lies that end after a while anew.
"""
import gzip
import hashlib
import io
import json
import random
import re
import socket
import socketserver
import struct
import sys
import tarfile
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

OCI = "application/vnd.oci.image."
MANIFEST, INDEX, CONFIG = OCI + "manifest.v1+json", OCI + "index.v1+json", OCI + "config.v1+json"
LAYER_GZIP, LAYER_ZSTD = OCI + "layer.v1.tar+gzip", OCI + "layer.v1.tar+zstd"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
EMPTY_DIGEST = "sha256:" + hashlib.sha256(b"").hexdigest()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- images --------------------------------------------------------------------------------------------------------


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def tar_header(name, size):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


SMALL_TAR = tar_of([("etc/hello", b"hello\n")])
LARGE_TAR = tar_of([("data/random", random.Random(1).randbytes(8 << 20))])
SMALL = gzip.compress(SMALL_TAR, 6, mtime=0)
LARGE = gzip.compress(LARGE_TAR, 1, mtime=0)
GIGA = 1 << 30


def gzip_bomb(head, zeros):
    """Deflate blocks of 1 MiB of zeros that do not refer to one another, so that they can be repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + first + block * (zeros >> 20) + deflate.flush() + bytes(8)


def zstd_bomb(head, zeros):
    """One frame: the head as a raw block, then blocks of "128 KiB of this byte", four bytes each."""
    frame = b"\x28\xb5\x2f\xfd\x00\x38" + (len(head) << 3).to_bytes(3, "little") + head
    block = (1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b"\0"
    return frame + block * (zeros >> 17) + (1).to_bytes(3, "little")


class Image:
    """The blobs by digest, and the manifests by digest and tag: (media type, bytes)."""

    def __init__(self, layers=None, media=LAYER_GZIP):
        # (compressed, uncompressed or its diffID)
        self.layers = layers if layers is not None else [(SMALL, SMALL_TAR), (LARGE, LARGE_TAR)]
        self.media, self.blobs, self.manifests = media, {}, {}
        self.config = json.dumps({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": [
                tar if isinstance(tar, str) else digest_of(tar) for _, tar in self.layers]},
        }).encode()

    def finish(self, edit_manifest=None, manifest=None, media=MANIFEST):
        for data, _ in self.layers:
            self.blobs[digest_of(data)] = data
        self.blobs[digest_of(self.config)] = self.config
        if manifest is None:
            known = {id(data): {"mediaType": self.media, "digest": digest_of(data), "size": len(data)}
                     for data, _ in {id(pair[0]): pair for pair in self.layers}.values()}
            document = {
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": digest_of(self.config), "size": len(self.config)},
                "layers": [dict(known[id(data)]) for data, _ in self.layers]}
            if edit_manifest:
                document = edit_manifest(document) or document
            manifest = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.tag("1", manifest, media)
        return self

    def tag(self, name, manifest, media=MANIFEST):
        self.manifests[name] = self.manifests[digest_of(manifest)] = (media, manifest)
        return digest_of(manifest)


def edited(edit):
    return lambda: Image().finish(edit)


def second_layer(**changes):
    return edited(lambda document: document["layers"][1].update(changes))


def with_config(change):
    def make():
        image = Image()
        document = json.loads(image.config)
        document = change(document) or document
        image.config = document if isinstance(document, bytes) else json.dumps(document).encode()
        return image.finish()
    return make


def bomb(make, media, zeros_in_file):
    def build():
        head = tar_header("zeros", 50 * GIGA) if zeros_in_file else SMALL_TAR
        image = Image([(SMALL, SMALL_TAR), (make(head, 50 * GIGA), EMPTY_DIGEST)], media)
        return image.finish(lambda document: document["layers"][0].update(mediaType=LAYER_GZIP))
    return build


def own_layers(seed):
    """An image that shares its first layer with all others and has two of its own."""
    def make():
        layers = [(SMALL, SMALL_TAR)]
        for number in range(2):
            tar = tar_of([("data/%d" % number, random.Random(seed * 10 + number).randbytes(1 << 20))])
            layers.append((gzip.compress(tar, 1, mtime=0), tar))
        return Image(layers).finish()
    return make


def many_layers(count):
    return lambda: Image([(SMALL, SMALL_TAR)] * count).finish()


def index_of(image, of, **changes):
    media, manifest = image.manifests[of]
    entry = {"mediaType": media, "digest": of, "size": len(manifest),
             "platform": {"architecture": "amd64", "os": "linux"}}
    entry.update(changes)
    document = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    return image.tag("1", document, INDEX)


def in_index(depth=1, **changes):
    def make():
        image = Image().finish()
        digest = digest_of(image.manifests["1"][1])
        for _ in range(depth):
            digest = index_of(image, digest, **changes)
        return image
    return make


def self_reference():
    image = Image().finish()
    index_of(image, digest_of(image.manifests["1"][1]), digest="sha256:" + "a" * 64)
    # Asked for by that digest, the server answers the index again.
    image.manifests["sha256:" + "a" * 64] = image.manifests["1"]
    return image


def schema_1():
    document = {"schemaVersion": 1, "name": "x", "tag": "1", "architecture": "amd64", "history": [],
                "fsLayers": [{"blobSum": digest_of(SMALL)}], "signatures": []}
    return Image().finish(manifest=json.dumps(document).encode(), media=SCHEMA_1)


def deep(levels=100000):
    return b"[" * levels + b"]" * levels


# --- answers -------------------------------------------------------------------------------------------------------


class Hang(Exception):
    """The connection is left open in silence."""


class State:
    def __init__(self):
        self.lock = threading.Lock()
        self.images, self.counts, self.log, self.other, self.uploads = {}, {}, [], [], {}

    def image(self, name):
        with self.lock:
            if name not in self.images:
                self.images[name] = LIES[name][0]() if LIES[name][0] else Image().finish()
            return self.images[name]

    def count(self, key):
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1
            return self.counts[key]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    # Writing.

    def answer(self, status, body=b"", headers=(), length=None, media="application/json"):
        self.send_response(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-type" not in names:
            self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message, headers=()):
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.answer(status, body, headers)

    def cut(self, reset=False):
        self.wfile.flush()
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def endless(self, piece, media="application/json", status=200):
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = b"%x\r\n%s\r\n" % (len(piece), piece)
        while True:
            self.wfile.write(block)

    def drip(self, body, media, pause=1.0):
        self.send_response(200)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(pause)

    def body(self, limit=None):
        left = int(self.headers.get("Content-Length") or 0)
        if (self.headers.get("Transfer-Encoding") or "").lower() == "chunked":
            out = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                out += self.rfile.read(size)
                self.rfile.readline()
                if size == 0 or (limit is not None and len(out) >= limit):
                    return out
        return self.rfile.read(left if limit is None else min(left, limit))

    # Requests.

    def serve(self):
        state = self.server.state
        parts = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        line = json.dumps({"method": self.command, "path": self.path, "headers": dict(self.headers.items())})
        if parts.path.startswith("/_"):
            return self.service(parts.path, state)
        (state.other if self.server.other else state.log).append(line)
        if parts.path in ("/v2", "/v2/"):
            return self.answer(200, b"{}", [("Docker-Distribution-Api-Version", "registry/2.0")])
        match = re.fullmatch(r"/v2/([a-z0-9._/-]+)/(manifests|blobs|tags)/(.+)", parts.path)
        if not match or match[1] not in LIES:
            return self.error(404, "NAME_UNKNOWN", "repository name not known to registry")
        self.name, kind, rest = match.groups()
        self.image, self.lie = state.image(self.name), LIES[self.name][1]
        if self.lie and self.lie(self, kind, rest):
            return None
        if kind == "tags":
            return self.answer(200, json.dumps({"name": self.name, "tags": ["1"]}).encode())
        if rest.startswith("uploads"):
            return self.upload(rest)
        return self.manifest(rest) if kind == "manifests" else self.blob(rest)

    def service(self, path, state):
        if path == "/_forget":
            state.log.clear()
            state.other.clear()
            state.counts.clear()
            return self.answer(200)
        if path == "/_token":
            return self.answer(200, b'{"token":"very-secret"}')
        if path == "/_token/huge":
            return self.endless(b'{"token":"' + b"x" * 65536)
        if path == "/_token/html":
            return self.answer(200, b"<html>sign in</html>", media="text/html")
        if path == "/_token/empty":
            return self.answer(200, b"{}")
        if path in ("/_log", "/_other"):
            return self.answer(200, "\n".join(state.log if path == "/_log" else state.other).encode())
        return self.error(404, "UNKNOWN", "nothing here")

    def manifest(self, reference):
        if self.command == "PUT":
            data = self.body()
            self.image.tag(reference, data, self.headers.get("Content-Type", MANIFEST))
            return self.answer(201, b"", [("Location", "/v2/x"), ("Docker-Content-Digest", digest_of(data))])
        if reference not in self.image.manifests:
            return self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media, data = self.image.manifests[reference]
        return self.answer(200, data, [("Docker-Content-Digest", digest_of(data)), ("Content-Type", media)])

    def range_start(self):
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        return (int(match[1]), int(match[2]) if match[2] else None) if match else None

    def blob(self, digest):
        if digest not in self.image.blobs:
            return self.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return self.bytes_of(self.image.blobs[digest])

    def bytes_of(self, data):
        wanted = self.range_start()
        if wanted is None or wanted[0] >= len(data):
            return self.answer(200, data, [("Accept-Ranges", "bytes")], media="application/octet-stream")
        end = min(wanted[1] if wanted[1] is not None else len(data) - 1, len(data) - 1)
        place = "bytes %d-%d/%d" % (wanted[0], end, len(data))
        return self.answer(206, data[wanted[0]:end + 1], [("Content-Range", place)], media="application/octet-stream")

    def upload(self, rest):
        uploads = self.server.state.uploads
        if self.command == "POST":
            number = "u%d" % self.server.state.count("upload")
            uploads[number] = bytearray()
            return self.answer(202, b"", [("Location", "/v2/%s/blobs/uploads/%s" % (self.name, number))])
        number = rest.split("/")[-1]
        if number not in uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        uploads[number] += self.body()
        if self.command == "PATCH":
            return self.answer(202, b"", [("Location", self.path), ("Range", "0-%d" % (len(uploads[number]) - 1))])
        data = bytes(uploads.pop(number))
        if digest_of(data) != self.query.get("digest"):
            return self.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.image.blobs[digest_of(data)] = data
        return self.answer(201, b"", [("Location", "/v2/x"), ("Docker-Content-Digest", digest_of(data))])

    def do_GET(self):
        try:
            self.serve()
        except Hang:
            time.sleep(600)
        except (BrokenPipeError, ConnectionError, socket.timeout):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET


# --- lies: called with the kind ("manifests", "blobs", "tags") and what stands behind it; True: it has answered ----


def large(handler, rest):
    """The bytes of the image's last layer, if that is asked for."""
    data = handler.image.layers[-1][0]
    return data if rest == digest_of(data) else None


def reading(handler):
    return handler.command in ("GET", "HEAD")


def truncate(times):
    def lie(handler, kind, rest):
        data = large(handler, rest) if kind == "blobs" else None
        if data is None or handler.command != "GET":
            return False
        if handler.server.state.count((handler.name, "cut")) > times:
            return False
        wanted = handler.range_start()
        start = wanted[0] if wanted else 0
        # Each time half of what is left, as if a proxy had a limit of time.
        headers = [("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))] if wanted else []
        data = data[start:]
        handler.answer(206 if wanted else 200, data[:len(data) // 2], headers, len(data), "application/octet-stream")
        handler.cut()
        return True
    return lie


def after_a_cut(answer):
    """The first request for the large layer is cut, later ones with a range are answered by `answer`."""
    first = truncate(1)

    def lie(handler, kind, rest):
        if first(handler, kind, rest):
            return True
        if kind != "blobs" or not large(handler, rest) or handler.range_start() is None:
            return False
        return answer(handler)
    return lie


def unhurried(handler, kind, rest):
    """Half a megabyte a second, ranges and all: so that there is time to be killed in."""
    data = handler.image.blobs.get(rest) if kind == "blobs" else None
    if handler.command != "GET" or data is None or len(data) < 100000:
        return False
    wanted = handler.range_start()
    start = wanted[0] if wanted else 0
    place = [("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))] if wanted else []
    handler.answer(206 if wanted else 200, b"", place, len(data) - start, "application/octet-stream")
    for at in range(start, len(data), 16384):
        handler.wfile.write(data[at:at + 16384])
        time.sleep(0.03)
    return True


def whole_for_range(handler):
    handler.answer(200, LARGE, media="application/octet-stream")
    return True


def wrong_range(handler):
    handler.answer(206, LARGE[:1000], [("Content-Range", "bytes 0-999/%d" % len(LARGE))], None, "application/octet-stream")
    return True


def flipped(which):
    def lie(handler, kind, rest):
        if handler.command != "GET":
            return False
        if kind == "manifests" and which == "manifest":
            media, data = handler.image.manifests["1"]
            digest = digest_of(data)
            handler.answer(200, data.replace(b'"schemaVersion": 2', b'"schemaVersion" :2'),
                           [("Docker-Content-Digest", digest), ("Content-Type", media)])
            return True
        config = rest == digest_of(handler.image.config)
        if kind != "blobs" or not (config if which == "config" else large(handler, rest)):
            return False
        data = bytearray(handler.image.blobs[rest])
        # Behind 4 bytes is gzip's time: what is inflated is right, and the blob is not.
        data[4 if which == "gzip-time" else len(data) // 2] ^= 1
        handler.answer(200, bytes(data), media="application/octet-stream")
        return True
    return lie


def content_length(delta):
    def lie(handler, kind, rest):
        if kind != "blobs" or not large(handler, rest):
            return False
        handler.answer(200, LARGE, length=len(LARGE) + delta, media="application/octet-stream")
        handler.cut()
        return True
    return lie


def on(kind_wanted, answer):
    """`answer` for reading manifests, the large layer ("blobs") or the list of tags."""
    def lie(handler, kind, rest):
        if kind != kind_wanted or not reading(handler) or (kind == "blobs" and not large(handler, rest)):
            return False
        answer(handler)
        return True
    return lie


def endless(piece, media="application/octet-stream"):
    return lambda handler: handler.endless(piece, media)


def endless_headers(handler):
    handler.send_response(200)
    handler.flush_headers()
    while True:
        handler.wfile.write(b"X-More: %s\r\n" % (b"x" * 1000))


def hang(handler):
    raise Hang


def stall_in_body(handler):
    data = handler.image.layers[-1][0]
    handler.answer(200, data[:1000], length=len(data), media="application/octet-stream")
    raise Hang


def drip_and_stall(handler):
    """Ten bytes, from wherever it is asked, and then silence: each attempt looks as if it brought something."""
    wanted = handler.range_start()
    start = wanted[0] if wanted else 0
    data = handler.image.layers[-1][0]
    headers = [("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))] if wanted else []
    handler.answer(206 if wanted else 200, data[start:start + 10], headers, len(data) - start,
                   "application/octet-stream")
    raise Hang


def slow(handler):
    handler.drip(handler.image.layers[-1][0], "application/octet-stream")


def slow_manifest(handler):
    media, data = handler.image.manifests["1"]
    handler.drip(data, media)


def redirect_loop(handler):
    handler.answer(307, b"", [("Location", handler.path)])


def redirect_to(place):
    return lambda handler: handler.answer(307, b"", [("Location", place)])


def needs_token(handler, realm):
    if handler.headers.get("Authorization") == "Bearer very-secret":
        return False
    challenge = 'Bearer realm="http://%s%s",service="hostile"' % (handler.headers["Host"], realm)
    handler.error(401, "UNAUTHORIZED", "authentication required", [("WWW-Authenticate", challenge)])
    return True


def elsewhere(handler, kind, rest):
    """Wants a token, and sends whoever asks for the large layer to the other listener."""
    if handler.server.other:
        return False
    if needs_token(handler, "/_token"):
        return True
    if kind != "blobs" or not large(handler, rest):
        return False
    handler.answer(307, b"", [("Location", "http://127.0.0.1:%d%s" % (handler.server.other_port, handler.path))])
    return True


def token(path):
    return lambda handler, kind, rest: needs_token(handler, path)


def never_authorized(challenge):
    def lie(handler, kind, rest):
        text = challenge.replace("HOST", handler.headers["Host"])
        handler.error(401, "UNAUTHORIZED", "authentication required", [("WWW-Authenticate", text)])
        return True
    return lie


def unavailable(times, status=503):
    def lie(handler, kind, rest):
        if not reading(handler) or handler.server.state.count((handler.name, status, rest)) > times:
            return False
        code = "TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE"
        handler.error(status, code, "come back later", [("Retry-After", "1")])
        return True
    return lie


def retry_never(handler):
    handler.error(503, "UNAVAILABLE", "come back next year", [("Retry-After", "31536000")])


def many_tags(handler):
    tags = b",".join(b'"t%d"' % number for number in range(1000000))
    handler.answer(200, b'{"name":"x","tags":[%s]}' % tags)


def link_loop(handler):
    link = '</v2/%s/tags/list?n=1&last=1>; rel="next"' % handler.name
    handler.answer(200, b'{"name":"x","tags":["1"]}', [("Link", link)])


def link_onward(handler):
    number = handler.server.state.count((handler.name, "page"))
    link = '</v2/%s/tags/list?n=1000&last=t%d>; rel="next"' % (handler.name, number)
    tags = ",".join('"t%d-%d"' % (number, each) for each in range(1000))
    handler.answer(200, b'{"name":"x","tags":[%s]}' % tags.encode(), [("Link", link)])


def link_elsewhere(handler):
    link = '<http://127.0.0.1:%d/v2/ok/tags/list?last=1>; rel="next"' % handler.server.other_port
    handler.answer(200, b'{"name":"x","tags":["1"]}', [("Link", link)])


def uploading(method, answer):
    def lie(handler, kind, rest):
        if kind != "blobs" or handler.command not in method or not rest.startswith("uploads"):
            return False
        answer(handler)
        return True
    return lie


def with_body(answer):
    def read_first(handler):
        handler.body()
        answer(handler)
    return read_first


def half_then(answer):
    def lie(handler):
        handler.body(1000)
        answer(handler)
        handler.cut(reset=True)
    return lie


def upload_elsewhere(handler):
    place = "http://127.0.0.1:%d/v2/%s/blobs/uploads/u1" % (handler.server.other_port, handler.name)
    handler.answer(202, b"", [("Location", place)])


def push_elsewhere(handler, kind, rest):
    """A token is asked for, and uploads are led to the other listener, which must not see it."""
    if handler.server.other:
        return False
    if needs_token(handler, "/_token"):
        return True
    if handler.command != "POST":
        return False
    upload_elsewhere(handler)
    return True


BOTH = [{"mediaType": MANIFEST, "digest": EMPTY_DIGEST, "size": 0}]
UPLOADS = ("PATCH", "PUT")

# name: (the image, None for the valid one; the lie in serving it, None for the truth)
LIES = {
    "ok": (None, None),
    "ok-index": (in_index(), None),
    "ok-duplicate-layers": (lambda: Image([(SMALL, SMALL_TAR), (LARGE, LARGE_TAR), (SMALL, SMALL_TAR)]).finish(), None),
    "ok-a": (own_layers(1), unhurried),
    "ok-b": (own_layers(2), unhurried),
    "ok-c": (own_layers(3), unhurried),
    "truncate": (None, truncate(3)),
    "truncate-always": (own_layers(100), truncate(1 << 30)),
    "wrong-layer": (None, flipped("layer")),
    "wrong-gzip-time": (None, flipped("gzip-time")),
    "wrong-config": (None, flipped("config")),
    "wrong-manifest": (None, flipped("manifest")),
    "length-larger": (None, content_length(1000)),
    "length-smaller": (None, content_length(-1000)),
    "range-200": (None, after_a_cut(whole_for_range)),
    "range-wrong": (None, after_a_cut(wrong_range)),
    "bomb-gzip": (bomb(gzip_bomb, LAYER_GZIP, True), None),
    "bomb-zstd": (bomb(zstd_bomb, LAYER_ZSTD, True), None),
    "bomb-padding-gzip": (bomb(gzip_bomb, LAYER_GZIP, False), None),
    "bomb-padding-zstd": (bomb(zstd_bomb, LAYER_ZSTD, False), None),
    "endless-blob": (None, on("blobs", endless(bytes(65536)))),
    "endless-manifest": (None, on("manifests", endless(b" " * 65536, MANIFEST))),
    "endless-tags": (None, on("tags", endless(b" " * 65536, "application/json"))),
    "endless-token": (None, token("/_token/huge")),
    "endless-headers": (None, on("manifests", endless_headers)),
    "endless-blob-headers": (None, on("blobs", endless_headers)),
    "redirect-loop": (None, on("blobs", redirect_loop)),
    "redirect-loop-manifest": (None, on("manifests", redirect_loop)),
    "redirect-elsewhere": (None, elsewhere),
    "redirect-file": (None, on("blobs", redirect_to("file:///etc/passwd"))),
    "redirect-gopher": (None, on("blobs", redirect_to("gopher://127.0.0.1:22/x"))),
    "slow": (own_layers(101), on("blobs", slow)),
    "slow-manifest": (None, on("manifests", slow_manifest)),
    "stall": (own_layers(102), on("blobs", hang)),
    "stall-body": (own_layers(103), on("blobs", stall_in_body)),
    "stall-drip": (own_layers(104), on("blobs", drip_and_stall)),
    "stall-manifest": (None, on("manifests", hang)),
    "both": (edited(lambda document: document.update(manifests=BOTH)), None),
    "digest-path": (second_layer(digest="sha256:../../../../../../tmp/x"), None),
    "digest-upper": (second_layer(digest=digest_of(LARGE).upper().replace("SHA", "sha")), None),
    "digest-short": (second_layer(digest=digest_of(LARGE)[:-1]), None),
    "digest-512": (second_layer(digest="sha512:" + hashlib.sha512(LARGE).hexdigest()), None),
    "digest-config-path": (edited(lambda document: document["config"].update(digest="sha256:/etc/passwd")), None),
    "size-negative": (second_layer(size=-1), None),
    "size-huge": (second_layer(size=1 << 62), None),
    "size-smaller": (second_layer(size=len(LARGE) - 1000), None),
    "size-larger": (second_layer(size=len(LARGE) + 1000), None),
    "503-burst": (None, unavailable(2)),
    "503-always": (None, unavailable(1 << 30)),
    "503-next-year": (None, on("manifests", retry_never)),
    "429-burst": (None, unavailable(2, 429)),
    "429-always": (None, unavailable(1 << 30, 429)),
    "401-loop": (None, never_authorized('Bearer realm="http://HOST/_token",service="x"')),
    "401-basic": (None, never_authorized('Basic realm="x"')),
    "401-nonsense": (None, never_authorized('Bearer realm="')),
    "401-file": (None, never_authorized('Bearer realm="file:///etc/passwd",service="x"')),
    "token-html": (None, token("/_token/html")),
    "token-empty": (None, token("/_token/empty")),
    "token-ok": (None, token("/_token")),
    "foreign": (second_layer(mediaType=OCI + "layer.nondistributable.v1.tar+gzip",
                             urls=["http://127.0.0.1:1/layer", "file:///etc/passwd"]), None),
    "label-zstd": (lambda: Image(media=LAYER_ZSTD).finish(), None),
    "label-plain": (lambda: Image([(SMALL_TAR, SMALL_TAR), (LARGE_TAR, LARGE_TAR)]).finish(), None),
    "label-unknown": (second_layer(mediaType="application/x-evil"), None),
    "not-a-tar": (lambda: Image([(SMALL, SMALL_TAR), (gzip.compress(b"x" * 100000, mtime=0), digest_of(b"x" * 100000))]).finish(), None),
    "schema-1": (schema_1, None),
    "manifest-5mb": (edited(lambda document: document.update(annotations={"a": "x" * (5 << 20)})), None),
    "manifest-size": (in_index(size=10), None),
    "manifest-text": (edited(lambda document: b"this is not JSON"), None),
    "manifest-deep": (edited(lambda document: deep()), None),
    "manifest-array": (edited(lambda document: b"[]"), None),
    "manifest-html": (lambda: Image().finish(manifest=b"<html>sign in</html>", media="text/html"), None),
    "layers-0": (lambda: Image([]).finish(), None),
    "layers-1000": (many_layers(1000), None),
    "layers-20000": (many_layers(20000), None),  # as many as go into 4 MiB
    "layers-100000": (many_layers(100000), None),
    "config-text": (with_config(lambda document: b"this is not JSON"), None),
    "config-deep": (with_config(lambda document: b'{"config":' + deep() + b"}"), None),
    "config-fewer": (with_config(lambda document: document["rootfs"]["diff_ids"].pop() and None), None),
    "config-wrong": (with_config(lambda document: document["rootfs"].update(diff_ids=[EMPTY_DIGEST] * 2)), None),
    "config-20mb": (with_config(lambda document: document.update(comment="x" * (20 << 20))), None),
    "config-windows": (with_config(lambda document: document.update(os="windows")), None),
    "index-windows": (in_index(platform={"os": "windows", "architecture": "amd64"}), None),
    "index-nested": (in_index(10), None),
    "index-self": (self_reference, None),
    "tags-million": (None, on("tags", many_tags)),
    "tags-loop": (None, on("tags", link_loop)),
    "tags-onward": (None, on("tags", link_onward)),
    "tags-elsewhere": (None, on("tags", link_elsewhere)),
    "up-no-location": (None, uploading("POST", with_body(lambda handler: handler.answer(202)))),
    "up-file": (None, uploading("POST", with_body(lambda handler: handler.answer(202, b"", [("Location", "file:///etc/x")])))),
    "up-elsewhere": (None, push_elsewhere),
    "up-wrong-digest": (None, uploading("PUT", with_body(
        lambda handler: handler.answer(201, b"", [("Docker-Content-Digest", EMPTY_DIGEST)])))),
    "up-500": (None, uploading(UPLOADS, half_then(lambda handler: handler.error(500, "UNKNOWN", "out of luck")))),
    "up-cut": (None, uploading(UPLOADS, half_then(lambda handler: None))),
    "up-413": (None, uploading(UPLOADS, with_body(lambda handler: handler.error(413, "TOOBIG", "too large")))),
    "up-403": (None, uploading(("POST",), with_body(lambda handler: handler.error(403, "DENIED", "no pushing here")))),
    "up-stall": (None, uploading(UPLOADS, hang)),
    "up-endless": (None, uploading(UPLOADS, with_body(endless(b" " * 65536)))),
}


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, socket.timeout)):
            super().handle_error(request, client_address)


def main():
    first, second = Server(("127.0.0.1", 0), Handler), Server(("127.0.0.1", 0), Handler)
    first.state = second.state = State()
    first.other, second.other = False, True
    first.other_port = second.other_port = second.server_address[1]
    threading.Thread(target=second.serve_forever, daemon=True).start()
    print(first.server_address[1], second.server_address[1], flush=True)
    first.serve_forever()


main()
