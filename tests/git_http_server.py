#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Repositories over HTTP, by git's own http-backend: git_http_server.py DIRECTORY PORT-FILE LOG

/open/x.git      a repository of DIRECTORY
/private/x.git   the same for whoever has the header of DIRECTORY/header, exactly
/moved/x.git     redirects to /open/ on another port, where headers are written to LOG
/silent/x.git    takes the request and answers nothing
"""
import http.server
import os
import subprocess
import sys
import threading
import time

directory, port_file, log = sys.argv[1:]
ports = []


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{self.server.server_port} {self.command} {self.path} {self.headers.get('Authorization')}\n")

    def refuse(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve(self):
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "silent":
            self.log_message()
            time.sleep(600)
        elif kind == "moved" and self.server.server_port == ports[0]:
            self.refuse(302, Location=f"http://127.0.0.1:{ports[1]}/open/{rest}")
        elif kind == "private" and self.headers.get("Authorization") != open(f"{directory}/header").read().strip():
            self.refuse(401, WWW_Authenticate="Basic realm=x")
        else:
            self.backend(rest)

    def backend(self, rest):
        path, _, query = rest.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": directory, "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": f"/{path}", "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1",
        }
        answer = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = serve


servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
ports = [server.server_port for server in servers]
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
with open(port_file + ".new", "w", encoding="utf-8") as file:
    file.write(f"{ports[0]}\n")
os.rename(port_file + ".new", port_file)
servers[0].serve_forever()
