#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# HTTP/2 to backends: gRPC by the library that others use, servers of HTTP/2 that others wrote, and such as behave as
# none should (proxy/http2_backend.py).
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"
python=/usr/bin/python3 # Debian's, which has its packages
$python -c 'import grpc' 2>/dev/null || { echo "SKIP: there is no python3-grpcio"; exit 77; }
for program in nghttpd h2load nginx; do
  command -v $program >/dev/null || { echo "SKIP: there is no $program"; exit 77; }
done

# Started once: nobody's state matters to another.
hostile=9100
ports=()
port_of() { # name: of a backend that behaves so
  local at
  for at in "${!names[@]}"; do [ "${names[at]}" != "$1" ] || echo $((hostile + at)); done
}
mapfile -t names < <(cd "$helpers" && $python -c 'import http2_backend; print("\n".join(http2_backend.NAMES))')
for at in "${!names[@]}"; do ports+=("${names[at]}:$((hostile + at))"); done
mkdir "$work/seen"
start() { # name program...: notes its pid
  local name=$1
  shift
  "$@" >"$work/$name.out" 2>&1 </dev/null &
  echo $! >"$work/$name.started"
  disown $!
}
end() { # name [signal]
  local pid
  pid=$(cat "$work/$1.started" 2>/dev/null) || return 0
  rm "$work/$1.started"
  kill "-${2:-9}" "$pid" 2>/dev/null
  eventually 10 gone "$pid"
}
end_all() {
  local one
  for one in "$work"/*.started; do [ ! -e "$one" ] || end "$(basename "$one" .started)"; done
  proxy_clean_up
}
trap end_all EXIT
grpc_start() { # port
  start "grpc.$1" $python "$helpers/grpc_ends.py" serve "$1"
  eventually 20 grep -q serving "$work/grpc.$1.out"
}
grpc() { # host test [tls]
  if [ "${3:-}" = tls ]; then
    timeout $((60 * slowness)) $python "$helpers/grpc_ends.py" call 127.0.0.1:8443 "$1" "$2" "$work/tls/cert.pem"
  else
    timeout $((60 * slowness)) $python "$helpers/grpc_ends.py" call 127.0.0.1:8000 "$1" "$2"
  fi
}
h2() { # host backend...: a route
  local host=$1 one list=()
  shift
  for one in "$@"; do list+=("\"$one\""); done
  is 200 "$(put "$host" "{\"backends\":[$(IFS=,; echo "${list[*]}")]}")" "status of a PUT of $host: $(cat "$work/answer")"
}
behaves() { h2 "$1.test" "h2c://127.0.0.1:$(port_of "$1")"; }
# What the client sees, by both versions: "status bytes exit-of-curl".
sees() { # name expected-by-1.1 expected-by-2 [curl argument...]
  local name=$1 first=$2 second=$3
  shift 3
  behaves "$name"
  is "$first" "$(get "$name.test" / --http1.1 -o /dev/null -w '%{http_code} %{size_download} %{exitcode}' "$@")" "$name by HTTP/1.1"
  is "$second" "$(get "$name.test" / --http2-prior-knowledge -o /dev/null -w '%{http_code} %{size_download} %{exitcode}' "$@")" "$name by HTTP/2"
}
connections_to() { ss -Htn state established "dst 127.0.0.1:$1" | wc -l; } # port
has_seen() { grep -qx "$2" "$work/seen/$1.seen"; } # name line

# --- gRPC ---

calls() { # transport test...
  local transport=$1 one
  shift
  h2 g.test grpc://127.0.0.1:9001
  for one in "$@"; do grpc g.test "$one" "$transport" || { echo "$one failed"; return 1; }; done
}
grpc_calls() { calls "$1" unary metadata statuses server_streams client_streams both_ways many_at_once early_end; }
grpc_ends() { calls "$1" cancels deadlines; }
grpc_is_quiet() { calls plain quiet_chat silent_backend; }
grpc_without_backend() {
  h2 g.test grpc://127.0.0.1:9099
  grpc g.test no_backend
}
# Each server is told to end while calls go on, and comes again: none of the calls fails.
grpc_restarts() {
  grpc_start 9002
  h2 g.test grpc://127.0.0.1:9001 grpc://127.0.0.1:9002
  mkfifo "$work/until"
  grpc g.test steadily <"$work/until" >"$work/steadily" 2>&1 &
  local client=$! port
  exec 9>"$work/until"
  sleep 1
  for port in 9001 9002; do
    end "grpc.$port" TERM
    grpc_start "$port"
    sleep 2.5 # it is known to be dead for two seconds
  done
  echo over >&9
  exec 9>&-
  wait $client || { tail -n 5 "$work/steadily"; return 1; }
  [[ $(cat "$work/steadily") =~ ^[0-9]+\ 9001:[0-9]+\ 9002:[0-9]+$ ]] || { cat "$work/steadily"; return 1; }
  end grpc.9002
}

# --- servers of others ---

serve_files() {
  mkdir -p "$work/files"
  head -c 1024 /dev/urandom >"$work/files/small"
  head -c 50000000 /dev/urandom >"$work/files/large"
  start nghttpd nghttpd --no-tls -a 127.0.0.1 -d "$work/files" 9010
  certificate "$work/backend" localhost
  cat >"$work/nginx.conf" <<EOF
master_process off; pid $work/nginx.pid; error_log $work/nginx.err; daemon off; user root;
events { worker_connections 512; }
http { access_log off; root $work/files; client_body_temp_path $work/nginx.body; client_max_body_size 100m;
  proxy_temp_path $work/nginx.p; fastcgi_temp_path $work/nginx.f; uwsgi_temp_path $work/nginx.u; scgi_temp_path $work/nginx.s;
  server { listen 127.0.0.1:9011 http2; }
  server { listen 127.0.0.1:9012 ssl http2; ssl_certificate $work/backend/cert.pem; ssl_certificate_key $work/backend/key.pem; }
  server { listen 127.0.0.1:9013 ssl; ssl_certificate $work/backend/cert.pem; ssl_certificate_key $work/backend/key.pem; } }
EOF
  start nginx nginx -c "$work/nginx.conf" -e "$work/nginx.err"
  eventually 10 curl -s -o /dev/null --http2-prior-knowledge http://127.0.0.1:9011/small
}
other_servers() {
  local server version
  for server in h2c://127.0.0.1:9010 h2c://127.0.0.1:9011 h2://localhost:9012; do
    h2 files.test "$server"
    for version in --http1.1 --http2-prior-knowledge; do
      get files.test /small $version | cmp - "$work/files/small"
      get files.test /large $version | cmp - "$work/files/large"
      is 404 "$(code files.test /none $version)" "$server $version"
      is "200 0" "$(get files.test /large -I -o /dev/null -w '%{http_code} %{size_download}' $version)"
    done
  done
  h2 files.test h2://localhost:9012
  get files.test /small -H 'Range: bytes=1-10' | cmp - <(head -c 11 "$work/files/small" | tail -c 10)
  h2 files.test h2c://127.0.0.1:9010
  is "200 50000000" "$(get files.test /small -H Expect: -T "$work/files/large" -X POST -o /dev/null -w '%{http_code} %{size_upload}')"
  is "200 50000000" "$(get files.test /small -H Expect: -H 'Transfer-Encoding: chunked' -T "$work/files/large" --http2-prior-knowledge -X POST -o /dev/null -w '%{http_code} %{size_upload}')"
}
tls_is_checked() {
  h2 files.test h2://127.0.0.1:9012 # it is not the one that is named
  is 502 "$(code files.test /small)"
  h2 files.test h2://localhost:9013 # and this one does not speak HTTP/2
  is 502 "$(code files.test /small)"
  h2 files.test https://localhost:9013
  is 200 "$(code files.test /small)"
}
many_requests() {
  h2 127.0.0.1 h2c://127.0.0.1:9010
  local before
  before=$(metric berth_proxy_backend_connections_total)
  contains "$(h2load -c 8 -m 50 -n 20000 http://127.0.0.1:8000/small 2>&1)" "20000 succeeded, 0 failed, 0 errored"
  is 200 "$(code 127.0.0.1 /small)"
  [ $(($(metric berth_proxy_backend_connections_total) - before)) -le 24 ] || { metric berth_proxy_backend_connections_total; return 1; }
}
# A client that does not read has the backend wait, costs next to no memory, and nobody else's time.
slow_clients() {
  h2 files.test h2c://127.0.0.1:9011
  get files.test /small -o /dev/null
  local pid before at
  pid=$(proxy_pid main)
  before=$(awk '/VmRSS/{print $2}' "/proc/$pid/status")
  for at in {1..30}; do
    get files.test /large --limit-rate 1000 --http2-prior-knowledge -o /dev/null &
    echo $! >"$work/slow.$at"
  done
  sleep 1
  for at in {1..5}; do get files.test /large | cmp - "$work/files/large"; done
  [ "$(connections_to 9011)" -le 2 ] || { connections_to 9011; return 1; } # one for each worker
  local after
  after=$(awk '/VmRSS/{print $2}' "/proc/$pid/status")
  for at in {1..30}; do kill "$(cat "$work/slow.$at")"; done
  [ $((after - before)) -lt $((16000 * slowness)) ] || { echo "it has grown from $before to $after KiB"; return 1; }
}

# --- what is not done to HTTP/2 ---

websocket_is_refused() {
  behaves good
  is 501 "$(code good.test / -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')"
  is 200 "$(code good.test)"
}
checks() {
  is 200 "$(put checked.test "{\"backends\":[\"h2c://127.0.0.1:$(port_of good)\",\"grpc://127.0.0.1:9099\",\"h2://localhost:9012\"],\"health\":{\"interval_ms\":50}}")"
  eventually 3 eval 'admin GET /v1/routes/checked.test >/dev/null; jq -e "[.backends[] | .alive] == [true, false, true]" "$work/answer" >/dev/null'
}
prior_knowledge() { # of clients without TLS; what only begins like it is no request
  behaves good
  contains "$(get good.test / --http2-prior-knowledge -i)" "HTTP/2 200"
  is 200 "$(put 127.0.0.1 "{\"backends\":[\"http://127.0.0.1:9001\"]}")"
  contains "$(printf 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n' | timeout 5 socat -t 2 - TCP:127.0.0.1:8000)" "HTTP/1.1 505"
  contains "$(printf 'PRI / HTTP/1.1\r\nHost: nowhere\r\n\r\n' | timeout 5 socat -t 2 - TCP:127.0.0.1:8000)" "HTTP/1.1 400"
  # in pieces
  contains "$({ printf 'PRI * HT'; sleep 0.2; printf 'TP/2.0\r\n\r\nS'; sleep 0.2; printf 'M\r\n\r\n\0\0\0\4\0\0\0\0\0'; sleep 0.3; } |
    timeout 5 socat -t 1 - TCP:127.0.0.1:8000 | od -An -tx1 | xargs)" "00 00 00 04 01 00 00 00 00"
}

# --- backends as none should be ---

as_they_should() {
  sees good "200 2 0" "200 2 0"
  sees informational "200 2 0" "200 2 0"
  sees trailers "200 2 0" "200 2 0"
  sees small_pieces "200 20000 0" "200 20000 0"
  sees padded "200 1000 0" "200 1000 0"
  is 200 "$(code good.test / -X OPTIONS)"
  contains "$(get trailers.test / --http1.1 --raw -i)" "x-sum: 1"
}
refusals() { # what was not looked at is asked elsewhere, whatever it is; what was looked at is not
  local again="200 2 0"
  sees refused_once "$again" "$again" -d body
  sees goaway_once "$again" "$again" -d body
  sees goaway_after "$again" "$again" -d body
  sees goaway_midway "200 28 0" "200 28 0"
  sees refused "502 16 0" "502 16 0" -d body
  sees looked_and_reset "502 16 0" "502 16 0" -d body
  sees dies_at_once "502 16 0" "502 16 0" -d body
  is 2 "$(grep -c request "$work/seen/looked_and_reset.seen")" "requests that were looked at"
  is 2 "$(grep -c request "$work/seen/dies_at_once.seen")" "requests that may have been done"
  # Another one has it, and nobody is dead for it.
  h2 two.test "h2c://127.0.0.1:$(port_of refused_once)" "h2c://127.0.0.1:$(port_of goaway_once)"
  local at
  for at in {1..20}; do is 200 "$(code two.test / -d "body $at")"; done
  is 200 "$(admin GET /v1/routes/two.test)"
  describes 'all(.backends[]; .alive and .failures == 0)'
}
cuts() { # an answer that has begun is never taken for a whole one
  sees reset_midway "200 4 18" "200 4 92"
  sees dies_midway "200 4 18" "200 4 92"
  local name by
  for name in short long bad_trailers empty_flood beyond_window; do # a reset may come before what is in front of it is sent
    behaves $name
    by=$(get $name.test / --http1.1 -o /dev/null -w '%{exitcode}' || true)
    is 18 "$by" "$name by HTTP/1.1"
    by=$(get $name.test / --http2-prior-knowledge -o /dev/null -w '%{exitcode}' || true)
    is 92 "$by" "$name by HTTP/2"
  done
}
no_answers() {
  local name
  for name in none_at_a_time many_fields large_head endless_head decompressed endless_informational push http1 garbage \
    ping_flood settings_flood window_flood framing connection upper injected two_lengths no_status two_statuses switches \
    no_number late_status huge_status; do
    sees $name "502 16 0" "502 16 0"
  done
  [ "$(awk '/VmRSS/{print $2}' "/proc/$(proxy_pid main)/status")" -lt $((100000 * slowness)) ] || return 1
}
silence() { # before the settings and behind them
  sees says_nothing "504 20 0" "504 20 0"
  sees mute "504 20 0" "504 20 0"
}
early_answers() {
  behaves answers_early
  is "200 2" "$(get answers_early.test / -H Expect: -T "$work/files/large" -X POST -o /dev/null -w '%{http_code} %{size_download}' --http2-prior-knowledge)"
}
one_at_a_time() { # others get connections of their own
  behaves one_at_a_time
  is 200 "$(code one_at_a_time.test)"
  local at
  for at in {1..8}; do code one_at_a_time.test / -d body >"$work/one.$at" & echo $! >"$work/one.pid.$at"; done
  for at in {1..8}; do wait "$(cat "$work/one.pid.$at")" || true; is 200 "$(cat "$work/one.$at")"; done
}
farewell() { # a proxy that ends says so to its backends
  behaves good
  is 200 "$(code good.test)"
  rm "$work/seen/good.seen"
  proxy_end main
  eventually 3 eval 'grep -q "goaway 0" "$work/seen/good.seen"'
}

grpc_start 9001
start http2 $python "$helpers/http2_backend.py" "$work/seen" "${ports[@]}"
certificate "$work/tls" g.test
serve_files
export SSL_CERT_FILE=$work/backend/cert.pem
MAIN='.https = {port: 8443, bind: ["127.0.0.1"], key: "'$work'/tls/key.pem", cert: "'$work'/tls/cert.pem"} | .server.tcpTimeout = 3'
redis_start
proxy_start main "$MAIN"

proxy_case "gRPC goes through, without TLS" grpc_calls plain
proxy_case "gRPC goes through, with TLS" grpc_calls tls
proxy_case "a client's cancellation and its deadline reach the backend at once" grpc_ends plain
proxy_case "the same with TLS" grpc_ends tls
proxy_case "a stream may be quiet, a backend that owes an answer may not" grpc_is_quiet
proxy_case "gRPC hears of a backend that is not there" grpc_without_backend
proxy_case "servers come and go without a call that fails" grpc_restarts
proxy_case "other servers of HTTP/2, with and without TLS" other_servers
proxy_case "TLS needs the right name, and HTTP/2" tls_is_checked
proxy_case "many requests share few connections" many_requests
proxy_case "clients that do not read hold up nobody else" slow_clients
proxy_case "WebSocket to HTTP/2 is answered 501" websocket_is_refused
proxy_case "checks connect" checks
proxy_case "clients speak HTTP/2 without TLS" prior_knowledge
proxy_case "backends as they should be" as_they_should
proxy_case "what was not looked at is asked again, and nothing else" refusals
proxy_case "answers that are cut are seen to be" cuts
proxy_case "what is no answer is a 502, in bounds" no_answers
proxy_case "silent backends are given up" silence
proxy_case "an answer may come before its request's end" early_answers
proxy_case "a backend of one stream has several connections" one_at_a_time
proxy_case "a stream may be quiet" http2_clients stuck_to_stream "$(port_of good)"
proxy_case "the end is said to backends" farewell
for one in "$work"/*.started; do end "$(basename "$one" .started)"; done
proxy_finish
