#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Servers behind the proxy that behave: backend.py NOTE PORT... (the note is a path by which a test finds them again).

/           the port                        /seen/<key>    how often that key was asked for by /count/<key>
/headers    the request as it came, as JSON /status/<n>    an answer with that status
/count/<k>  counts, and answers the port    /wait/<s>      answers after so many seconds
/bytes/<n>  so many bytes                   POST /...      the length and the SHA-256 of the body
/noted/<k>  what was answered to the last POST of /note/<k>, and its fields
"""
import collections
import hashlib
import http.server
import json
import sys
import threading
import time

counts = collections.Counter()
notes = {}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pieces(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left > 0:
                piece = self.rfile.read(min(left, 1 << 16))
                left -= len(piece)
                yield piece

    def do_GET(self):
        mine = str(self.server.server_address[1]).encode()
        _, name, *rest = self.path.split("?")[0].split("/") + [""]
        if name == "headers":
            self.answer(json.dumps({"target": self.path, "fields": self.headers.items()}).encode())
        elif name == "count":
            with lock:
                counts[rest[0]] += 1
            self.answer(mine)
        elif name == "seen":
            self.answer(str(counts[rest[0]]).encode())
        elif name == "noted":
            self.answer(json.dumps(notes.get(rest[0])).encode())
        elif name == "status":
            self.answer(mine, int(rest[0]))
        elif name == "wait":
            time.sleep(float(rest[0]))
            self.answer(b"waited")
        elif name == "bytes":
            self.answer(b"b" * int(rest[0]))
        else:
            self.answer(mine)

    def do_POST(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            length += len(piece)
        body = f"{length} {digest.hexdigest()}"
        if self.path.startswith("/note/"):
            notes[self.path.split("/")[2]] = {"body": body, "fields": self.headers.items()}
        self.answer(body.encode())

    do_HEAD = do_GET
    do_PUT = do_DELETE = do_POST


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


servers = [Server(("127.0.0.1", int(port)), Handler) for port in sys.argv[2:]]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
