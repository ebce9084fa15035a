# SPDX-License-Identifier: Apache-2.0
"""The load balancers that bench/proxy.py measures: each with one worker, on one core, with a configuration that its manual
recommends for what is measured. All listen on 127.0.0.1 and send to BACKENDS there."""
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

PROXY_CORE, LOAD_CORE = "0", "1"
BACKENDS = (9001, 9002)
HOST = "bench.test"


def host_of(number):
    return f"host{number}.example.test"


class Side:
    """One of them, running. `routes`: so many hosts, all of which go to the first backend."""

    name, program = "", ""

    def __init__(self, directory, port):
        self.directory, self.port, self.tls_port, self.admin_port = Path(directory), port, port + 1, port + 2
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process = None

    def start(self, routes=0):
        self.configure(routes)
        with open(self.directory / "log", "a", encoding="ascii") as log:
            self.process = subprocess.Popen(["taskset", "-c", PROXY_CORE, *map(str, self.words())], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "GOMAXPROCS": "1", "HOME": str(self.directory)})
        end = time.monotonic() + 180
        while self.seen(host_of(routes - 1) if routes else HOST) != BACKENDS[0]:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not start: {(self.directory / 'log').read_text()[-500:]}")
            time.sleep(0.02)
        self.connect()

    def stop(self):
        if self.process and self.process.poll() is None:
            all_of_it = self.pids()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                for pid in all_of_it:  # a master that is killed leaves its workers
                    os.kill(pid, signal.SIGKILL)
                self.process.wait()
        self.process = None

    def seen(self, host):
        """The port of the backend that a request by a new connection reaches; 0 for none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                data = b""
                while b"\r\n\r\n" not in data and (more := connection.recv(4096)):
                    data += more
        except OSError:
            return 0
        at = data.lower().find(b"x-backend: ")
        return int(data[at + 11:at + 15]) if at >= 0 and b" 200 " in data[:20] else 0

    def pids(self):
        """Its processes: a master's children are its workers."""
        found = [self.process.pid]
        for pid in found:
            found += [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
        return found

    def cpu(self):
        """Seconds, of all its processes."""
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory(self, what="VmRSS"):
        """MiB, of all its processes."""
        total = 0
        for pid in self.pids():
            total += next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what + ":"))
        return total / 1024

    def forget_peak(self):
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def connect(self):
        """To what changes are made by."""

    def version(self):
        raise NotImplementedError

    def first_line(self, *words):
        done = subprocess.run([self.program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        return done.stdout.splitlines()[0]


class Berth(Side):
    """Changes by the admin API on a kept connection; on disk when they are answered, unless there is no store."""

    name = "Berth"

    def __init__(self, directory, port, program, store=True):
        super().__init__(directory, port)
        self.program, self.store = str(program), store

    def configure(self, routes):
        at = self.directory
        for left in at.glob("routes.db*"):
            left.unlink()
        document = {"server": {"workers": 1}, "http": {"port": self.port, "bind": "127.0.0.1"},
                    "https": {"port": self.tls_port, "bind": "127.0.0.1", "cert": str(at.parent / "cert.pem"), "key": str(at.parent / "key.pem")},
                    "admin": {"port": self.admin_port}, "routes": str(at / "routes.json")}
        if self.store:
            document["store"] = str(at / "routes.db")
        (at / "proxy.json").write_text(json.dumps(document))
        with open(at / "routes.json", "w", encoding="ascii") as file:
            file.write('{"routes": {"%s": %s' % (HOST, self.document(BACKENDS[0])))
            if not self.store:  # a file may have 16 MiB
                file.writelines(f',\n"{host_of(number)}": {self.document(BACKENDS[0])}' for number in range(routes))
            file.write("}}")
        if self.store and routes:
            self.fill_store(routes)

    @staticmethod
    def document(port):
        return '{"backends":["http://127.0.0.1:%d"]}' % port

    def fill_store(self, routes):
        """As if each had been PUT, which would take minutes."""
        once = subprocess.Popen(list(map(str, self.words())), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        once.stdout.readline()  # it serves: its tables are there
        once.terminate()
        once.wait()
        with sqlite3.connect(self.directory / "routes.db") as store:
            store.executemany("INSERT INTO routes(source, host, document) VALUES('admin', ?, ?)",
                              ((host_of(number), self.document(BACKENDS[0])) for number in range(routes)))
        store.close()

    def words(self):
        return [self.program, "-c", self.directory / "proxy.json"]

    def connect(self):
        self.api = socket.create_connection(("127.0.0.1", self.admin_port))
        self.api.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def change(self, host, port):
        body = self.document(port)
        self.api.sendall(f"PUT /v1/routes/{host} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.api.recv(65536)
        head, rest = data.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(data[:200])
        length = int(next(line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")))
        while len(rest) < length:
            rest += self.api.recv(65536)

    def version(self):
        return self.first_line("--version")


class Nginx(Side):
    """Many hosts are a map, the leanest of its ways; a change is the file anew and a reload."""

    name, program = "nginx", "nginx"

    def configure(self, routes):
        at = self.directory
        self.routes = {HOST: BACKENDS[0], **{host_of(number): BACKENDS[0] for number in range(routes)}}
        self.many = routes > 0
        if self.many:
            self.write_map()
        # Without a map there is one upstream, whose connections are kept.
        target = "http://$backend" if self.many else "http://backend"
        buckets = max(2048, 2 * routes)
        (at / "nginx.conf").write_text(f"""
worker_processes 1; daemon off; error_log {at}/error.log; pid {at}/pid; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
  keepalive_requests 1000000000; client_max_body_size 0; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_request_buffering off; proxy_max_temp_file_size 0;
  ssl_certificate {at.parent}/cert.pem; ssl_certificate_key {at.parent}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
  upstream backend {{ server 127.0.0.1:{BACKENDS[0]}; keepalive 128; keepalive_requests 1000000000; }}
  {f'map_hash_max_size {buckets}; map_hash_bucket_size 128; map $host $backend {{ include {at}/map; }}' if self.many else ''}
  server {{ listen 127.0.0.1:{self.port} backlog=4096; listen 127.0.0.1:{self.tls_port} ssl http2 backlog=4096; location / {{ proxy_pass {target}; }} }}
}}""")

    def write_map(self):
        with open(self.directory / "map.new", "w", encoding="ascii") as file:
            file.writelines(f"{host} 127.0.0.1:{port};\n" for host, port in self.routes.items())
        os.rename(self.directory / "map.new", self.directory / "map")

    def words(self):
        return [self.program, "-c", self.directory / "nginx.conf", "-e", self.directory / "error.log"]

    def change(self, host, port):
        self.routes[host] = port
        self.write_map()
        self.process.send_signal(signal.SIGHUP)

    def version(self):
        return self.first_line("-v").replace("nginx version: ", "")


class Haproxy(Side):
    """Many hosts are a map to backends that there are; a change is `set map` at its socket, which its memory alone has."""

    name, program = "HAProxy", "haproxy"

    def configure(self, routes):
        at = self.directory
        with open(at / "map", "w", encoding="ascii") as file:
            file.write(f"{HOST} b{BACKENDS[0]}\n")
            file.writelines(f"{host_of(number)} b{BACKENDS[0]}\n" for number in range(routes))
        backends = "".join(f"backend b{port}\n  server s 127.0.0.1:{port}\n" for port in BACKENDS)
        certificate = at / "both.pem"
        certificate.write_bytes((at.parent / "cert.pem").read_bytes() + (at.parent / "key.pem").read_bytes())
        chosen = f"use_backend %[req.hdr(host),lower,map({at}/map,b{BACKENDS[0]})]" if routes else f"default_backend b{BACKENDS[0]}"
        (at / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 8000
  stats socket {at}/socket mode 600 level admin
  stats timeout 1h
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{self.port} backlog 4096
  bind 127.0.0.1:{self.tls_port} ssl crt {certificate} alpn h2,http/1.1 backlog 4096
  {chosen}
{backends}""")

    def words(self):
        return [self.program, "-db", "-f", self.directory / "haproxy.cfg"]

    def connect(self):
        self.api = socket.socket(socket.AF_UNIX)
        self.api.connect(str(self.directory / "socket"))
        self.command("prompt")

    def command(self, text):
        self.api.sendall(text.encode() + b"\n")
        data = b""
        while not data.endswith(b"> "):
            data += self.api.recv(65536)
        return data

    def change(self, host, port):
        said = self.command(f"set map {self.directory}/map {host} b{port}")
        if said.strip(b"\n> "):
            raise RuntimeError(said)

    def version(self):
        return self.first_line("-v").split(" - ")[0]


class Caddy(Side):
    """A route for each host; a change is a PATCH of one at its admin API, which has it load all anew."""

    name, program = "Caddy", "caddy"

    def configure(self, routes):
        at = self.directory

        def handler(port):
            return {"handler": "reverse_proxy", "flush_interval": -1, "upstreams": [{"dial": f"127.0.0.1:{port}"}],
                    "transport": {"protocol": "http", "keep_alive": {"enabled": True, "max_idle_conns_per_host": 128}}}

        def route(host, identifier=None):
            return {**({"@id": identifier} if identifier else {}), "match": [{"host": [host]}], "handle": [handler(BACKENDS[0])]}

        self.handler = handler
        chosen = [route(HOST, HOST), *(route(host_of(number), host_of(number)) for number in range(routes))] if routes else [{"handle": [handler(BACKENDS[0])]}]
        document = {"admin": {"listen": f"127.0.0.1:{self.admin_port}", "config": {"persist": False}}, "logging": {"logs": {"default": {"level": "ERROR"}}},
                    "apps": {"tls": {"certificates": {"load_files": [{"certificate": f"{at.parent}/cert.pem", "key": f"{at.parent}/key.pem"}]}},
                             "http": {"servers": {
                                 "plain": {"listen": [f"127.0.0.1:{self.port}"], "automatic_https": {"disable": True}, "routes": chosen},
                                 "tls": {"listen": [f"127.0.0.1:{self.tls_port}"], "automatic_https": {"disable": True},
                                         "tls_connection_policies": [{"default_sni": HOST}], "routes": [{"handle": [handler(BACKENDS[0])]}]}}}}}
        (at / "caddy.json").write_text(json.dumps(document))

    def words(self):
        return [self.program, "run", "--config", self.directory / "caddy.json"]

    def connect(self):
        self.api = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=120)

    def change(self, host, port):
        self.api.request("PATCH", f"/id/{host}/handle", json.dumps([self.handler(port)]), {"Content-Type": "application/json"})
        answer = self.api.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(text[:200])

    def version(self):
        return "Caddy " + self.first_line("version").split(" ")[0]
