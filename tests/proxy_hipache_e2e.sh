#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What whoever comes from Hipache counts on, with its configuration of old and routes in Redis, while an access log and TLS are
# on: which host goes where, every method, what follows from a backend that is down or fails, large bodies, messages that are
# not as they should be.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"

# Whatever is asked of the port 8200 + n is answered 200 + n, and the connection closed; of 8500 + n, 500 + n.
cat >"$work/answers.py" <<'P'
import http.server, socketserver, sys, threading
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                while size:
                    size -= len(self.rfile.read(min(size, 1 << 20)))
                self.rfile.readline()
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = self.server.server_address[1] - 8000
        self.send_response(status)
        body = b"" if self.command == "HEAD" or status == 204 else b"some text\n"
        if status != 204: self.send_header("Content-Length", str(len(body) or 10))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_HEAD = do_OPTIONS = do_TRACE = do_DELETE = do_POST = do_PUT = answer
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
for port in [*range(8201, 8208), *range(8501, 8504)]:
    threading.Thread(target=Server(("127.0.0.1", port), Answers).serve_forever).start()
class Raw(socketserver.BaseRequestHandler): # a head with bare newlines, and a length that is not the body's
    def handle(self):
        self.request.recv(4096)
        length = 2 if self.server.server_address[1] == 8301 else 4096
        self.request.sendall(f"HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: {length}\n\ntest".encode())
for port in (8301, 8302):
    threading.Thread(target=Server(("127.0.0.1", port), Raw).serve_forever).start()
P
python3 "$work/answers.py" >>"$work/answers.log" 2>&1 </dev/null &
eventually 10 curl -s -o /dev/null http://127.0.0.1:8201/

old_form() { # of the configuration
  jq -n --arg work "$work" '{server: {debug: true, accessLog: "\($work)/old.access", port: 8000, address: "127.0.0.1", workers: 2, maxSockets: 100,
    deadBackendTTL: 30, tcpTimeout: 5, retryOnError: 0, deadBackendOn500: true, httpKeepAlive: false,
    https: {port: 8443, key: "\($work)/tls/key.pem", cert: "\($work)/tls/cert.pem"}}, driver: "redis://127.0.0.1:6379",
    http: {port: 8000, bind: "127.0.0.1"}, admin: {port: 8001}} | del(.http)' >"$work/main.json"
}
frontend_of() { # host port...
  local host=$1 port addresses=()
  shift
  for port in "$@"; do addresses+=("http://localhost:$port"); done
  redis rpush "frontend:$host" "$host" "${addresses[@]}" >/dev/null
  eventually 2 known "$host"
}
known() { curl -s --max-time 5 "$api/v1/routes/$(jq -rn --arg host "$1" '$host | @uri')" | grep '"backends"' >/dev/null; }
answered() { # status host
  is "$1" "$(code "$2")" "$2"
}

every_method() {
  frontend_of simple 8201
  local method
  for method in GET OPTIONS TRACE DELETE; do is 201 "$(code simple / -X $method)" $method; done
  is 201 "$(code simple / -I)" HEAD
  for method in POST PUT; do is 201 "$(code simple / -X $method -d '{}')" $method; done
  is 201 "$(curl -sk -o /dev/null -w '%{http_code}' --http1.1 -H 'Host: simple' https://127.0.0.1:8443/)" "by TLS"
}
several_hosts() {
  frontend_of simple 8201
  frontend_of foo.bar 8202
  frontend_of a.b.c.d.e.f.g.h.i.j.k.l.m 8203
  answered 201 simple
  answered 202 foo.bar
  answered 203 a.b.c.d.e.f.g.h.i.j.k.l.m
  answered 400 absent
}
wildcards() {
  frontend_of '*.foo.bar' 8201
  frontend_of '*.short' 8202
  answered 201 test.foo.bar
  answered 201 pipo.foo.bar
  answered 400 foo.bar
  answered 202 bar.short
  answered 400 short.bar
  answered 400 short
}
more_exact_wildcards() {
  frontend_of '*.foo.bar' 8201
  frontend_of foo.bar 8202
  frontend_of pipo.foo.bar 8203
  frontend_of '*.baz.foo.bar' 8204
  answered 201 test.foo.bar
  answered 202 foo.bar
  answered 203 pipo.foo.bar
  answered 204 qux.baz.foo.bar
  answered 201 qux.bix.foo.bar
  answered 400 qux.bix.bar.foo
}
deep_wildcards() { # five labels at most
  frontend_of '*.quux' 8201
  frontend_of '*.qux.quux' 8202
  frontend_of '*.baz.qux.quux' 8203
  frontend_of '*.bar.baz.qux.quux' 8204
  frontend_of foo.bar.baz.qux.quux 8205
  frontend_of '*.foo.bar.baz.qux.quux' 8206
  frontend_of '*.quuux.foo.bar.baz.qux.quux' 8207
  answered 206 too.deep.quuux.foo.bar.baz.qux.quux
  answered 206 too.deep.foo.bar.baz.qux.quux
  answered 205 foo.bar.baz.qux.quux
  answered 204 bar.bar.baz.qux.quux
  answered 203 foo.baz.qux.quux
  answered 202 foo.qux.quux
  answered 201 foo.quux
}
several_backends() {
  frontend_of foobar 8201 8202 8203
  local all
  all=$(get foobar '/?[1-20]' -o /dev/null -w '%{http_code}\n' | sort -u | xargs)
  [[ $all =~ ^(201|202|203)( (202|203))*$ ]] || { echo "$all"; return 1; }
}
failing_once() { # port status: seen once, and then no more while the backend is left out
  frontend_of once 8201 "$1"
  local all
  all=$(for _ in {1..20}; do code once; echo; done | sort | uniq -c | awk '{print $2 ":" $1}' | xargs)
  is "201:19 $2:1" "$all"
}
large_body() { # as it comes, with no length said
  frontend_of simple 8201
  is 201 "$(head -c 100000000 /dev/urandom | code simple / -T - -H 'Expect:' --max-time 100)"
}
lengths_that_lie() { # of backends, and heads whose lines end in newlines alone, which Hipache took: neither is passed on as whole
  frontend_of long.test 8301
  frontend_of short.test 8302
  answered 502 long.test
  fails get short.test / -o /dev/null -f
  frontend_of well.test 8201
  answered 201 well.test
}
malformed_client() { # one bad request does not harm those that come after it
  frontend_of foobar 8201
  contains "$(printf 'GET /pipo&%%$#(PIPO HTTP/1.1\nHost: foobar\n\n' | socat -t 2 - TCP:127.0.0.1:8000)" 'HTTP/1.1 400 '
  answered 201 foobar
}
logged() {
  frontend_of logged 8201
  answered 201 logged
  eventually 2 grep -F logged "$work/old.access"
}

certificate "$work/tls" default.test
redis_start
old_form
proxy_again main
as_usual() { # the configuration is this script's own
  redis flushall >/dev/null
  eventually 5 eval '[ "$(curl -s --max-time 5 $api/v1/routes)" = "[]" ]'
}

proxy_case "every method" every_method
proxy_case "several hosts" several_hosts
proxy_case "wildcards" wildcards
proxy_case "wildcards: the most exact" more_exact_wildcards
proxy_case "wildcards: deep ones" deep_wildcards
proxy_case "several backends" several_backends
proxy_case "a backend that is down fails once" failing_once 15000 502
proxy_case "a backend that answers 501 fails once" failing_once 8501 501
proxy_case "a backend that answers 502 fails once" failing_once 8502 502
proxy_case "a hundred megabytes" large_body
proxy_case "backends whose lengths lie" lengths_that_lie
proxy_case "a malformed request" malformed_client
proxy_case "the access log" logged
proxy_finish
