#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The load balancer: what it does to requests and answers, and that neither a change, nor a signal, nor something that
# dies costs a request.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"

# --- backends ---

balancing() {
  is 200 "$(put even.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9002","http://127.0.0.1:9003"],"balance":"round-robin"}')"
  is "9001:10 9002:10 9003:10" "$(tally 30 even.test)"
  is 200 "$(put uneven.test '{"backends":[{"url":"http://127.0.0.1:9001","weight":3},"http://127.0.0.1:9002",{"url":"http://127.0.0.1:9003","weight":0}],"balance":"round-robin"}')"
  is "9001:30 9002:10" "$(tally 40 uneven.test)"
  is 200 "$(put random.test '{"backends":[{"url":"http://127.0.0.1:9001","weight":9},"http://127.0.0.1:9002"]}')"
  [[ $(tally 150 random.test) =~ ^9001:(1[1-4][0-9])\ 9002:[0-9]+$ ]] || { tally 150 random.test; return 1; }
  is 200 "$(put hash.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9002","http://127.0.0.1:9003"],"balance":"hash"}')"
  local client of=() again=()
  for client in {1..16}; do of[client]=$(get hash.test / --interface "127.0.1.$client"); done
  is 3 "$(printf '%s\n' "${of[@]}" | sort -u | wc -l)" "backends that hash uses"
  for client in {1..16}; do again[client]=$(get hash.test / --interface "127.0.1.$client"); done
  is "${of[*]}" "${again[*]}"
  is 200 "$(put hash.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9002"],"balance":"hash"}')"
  for client in {1..16}; do
    [ "${of[client]}" = 9003 ] || is "${of[client]}" "$(get hash.test / --interface "127.0.1.$client")" "client $client, whose backend stayed"
  done
}

sticky() {
  is 200 "$(put sticky.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9002","http://127.0.0.1:9003"],"sticky":true}')"
  local first client all=
  for client in {1..6}; do
    first=$(get sticky.test / -c "$work/jar.$client")
    is "$first:8" "$(tally 8 sticky.test -b "$work/jar.$client")"
    all+=" $first"
  done
  [ "$(xargs -n 1 <<<"$all" | sort -u | wc -l)" -gt 1 ] || { echo "all went to one:$all"; return 1; }
  lacks "$(cat "$work/jar.1")" 127.0.0.1:
  contains "$(get sticky.test / -i)" 'HttpOnly'
  fails grep -qi set-cookie <<<"$(get sticky.test / -i -b "$work/jar.1")"
  is 200 "$(put sticky.test '{"backends":["http://127.0.0.1:9004"],"sticky":true}')"
  is 9004 "$(get sticky.test / -b "$work/jar.1")" "its backend is gone"
}

dead_backends() {
  route dead.test 9001 9008 9009 # nobody is at the last two
  is 9001:60 "$(tally 60 dead.test)"
  is 200 "$(admin GET /v1/routes/dead.test)"
  describes '.backends[1:3] | all(.failures > 0 and .requests < 6)' # dead ones are left alone
  route none.test 9008 9009
  is 502 "$(code none.test)"
  is 502 "$(code none.test / -d body)"
  route late.test 9001 9005
  is 200 "$(code late.test)"
  backends_start 9005
  eventually 5 eval '[ "$(tally 12 late.test | wc -w)" = 2 ]' # dead for two seconds
  backend_end 9005
  route errors.test 9001 9002
  is 503 "$(code errors.test /status/503)"
  is 500 "$(code errors.test /status/500)"
  is 200 "$(admin GET /v1/routes/errors.test)"
  describes 'all(.backends[]; .alive)'
  is 502 "$(code errors.test /status/502)"
  is 200 "$(admin GET /v1/routes/errors.test)"
  describes '[.backends[] | select(.alive | not)] | length == 1'
}

health_checks() {
  backends_start 9005
  is 200 "$(put checked.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9005"],"health":{"path":"/x","interval_ms":50,"timeout_ms":200}}')"
  is 200 "$(put failing.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9005"],"health":{"path":"/status/503","interval_ms":50}}')"
  is 200 "$(put failing.test '{"backends":["http://127.0.0.1:9002","http://127.0.0.1:9003"],"health":{"path":"/status/503","interval_ms":50}}')"
  eventually 2 eval 'admin GET /v1/routes/failing.test >/dev/null; jq -e "all(.backends[]; .alive | not)" "$work/answer" >/dev/null'
  is 200 "$(code failing.test)" "none alive is no reason not to try"
  is 204 "$(admin DELETE /v1/routes/failing.test)"
  eventually 2 eval '[ "$(tally 12 checked.test | wc -w)" = 2 ]'
  backend_end 9005
  eventually 2 eval 'admin GET /v1/routes/checked.test >/dev/null; jq -e "[.backends[] | .alive] == [true, false]" "$work/answer" >/dev/null'
  is 9001:20 "$(tally 20 checked.test)"
  kill -STOP "$(cat "$work/backend.9004.pid")" # listens and says nothing
  is 200 "$(put checked.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9004"],"health":{"interval_ms":50,"timeout_ms":200}}')"
  eventually 3 eval 'admin GET /v1/routes/checked.test >/dev/null; jq -e "[.backends[] | .alive] == [true, false]" "$work/answer" >/dev/null'
  kill -CONT "$(cat "$work/backend.9004.pid")"
  eventually 3 eval '[ "$(tally 12 checked.test | wc -w)" = 2 ]'
  is 204 "$(admin DELETE /v1/routes/checked.test)"
}

# --- heads ---

forwarded() {
  route heads.test 9001
  local seen
  seen=$(get heads.test '/headers?a=%20b' -H 'X-Forwarded-For: 6.6.6.6' -H 'X-Real-IP: 6.6.6.6' -H 'X-Forwarded-Proto: https' \
    -H 'X-Forwarded-Host: evil.test' -H 'Forwarded: for=6.6.6.6' -H 'X-Forwarded-Port: 443' -H 'X-Kept: yes' \
    -H 'Connection: X-Dropped' -H 'X-Dropped: no' -H 'Proxy-Connection: keep-alive' -H 'Keep-Alive: 5')
  lacks "$seen" 6.6.6.6
  lacks "$seen" evil.test
  jq -e '.target == "/headers?a=%20b" and (.fields | map({(.[0] | ascii_downcase): .[1]}) | add |
    .host == "heads.test" and ."x-forwarded-for" == "127.0.0.1" and ."x-forwarded-proto" == "http" and
    ."x-forwarded-port" == "8000" and ."x-real-ip" == "127.0.0.1" and ."x-kept" == "yes" and
    (has("x-dropped") or has("proxy-connection") or has("keep-alive") or has("x-forwarded-host") | not))' <<<"$seen"
  is 200 "$(put prefixed.test '{"backends":["http://127.0.0.1:9001/headers/below/"]}')"
  is '"/headers/below/x?y"' "$(get prefixed.test '/x?y' | jq .target)"
  proxy_start trusting '.http.port = 8010 | .admin.port = 8011 | .trustedProxies = ["127.0.5.0/24", "::1"] | del(.driver, .store)'
  curl -s -X PUT -d '{"backends":["http://127.0.0.1:9001"]}' http://127.0.0.1:8011/v1/routes/heads.test >/dev/null
  local ask=(curl -s -H 'Host: heads.test' -H 'X-Forwarded-For: 6.6.6.6, 7.7.7.7' -H 'X-Real-IP: 6.6.6.6' -H 'X-Forwarded-Proto: https' http://127.0.0.1:8010/headers)
  lacks "$("${ask[@]}")" 6.6.6.6
  "${ask[@]}" --interface 127.0.5.9 | jq -e '.fields | map({(.[0] | ascii_downcase): .[1]}) | add |
    ."x-forwarded-for" == "6.6.6.6, 7.7.7.7, 127.0.5.9" and ."x-real-ip" == "6.6.6.6" and ."x-forwarded-proto" == "https"'
  proxy_end trusting
}

error_pages() {
  mkdir -p "$work/pages"
  echo 'nobody here' >"$work/pages/error_400.html"
  echo 'by default' >"$work/pages/error_default.html"
  echo 'not a page' >"$work/pages/error_x.html"
  proxy_start pages ".http.port = 8010 | .admin.port = 8011 | .server.staticDir = \"$work/pages\" | del(.driver, .store)"
  curl -s -X PUT -d '{"backends":["http://127.0.0.1:1"]}' http://127.0.0.1:8011/v1/routes/broken.test >/dev/null
  is 'nobody here 400 text/html' "$(curl -s -w '%{http_code} %{content_type}' -H 'Host: nobody.test' http://127.0.0.1:8010/ | xargs)"
  is 'by default 502 text/html' "$(curl -s -w '%{http_code} %{content_type}' -H 'Host: broken.test' http://127.0.0.1:8010/ | xargs)"
  is '' "$(curl -s --head -H 'Host: broken.test' http://127.0.0.1:8010/ -o /dev/null)"
  contains "$(printf 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n' | timeout 5 socat -t2 - TCP:127.0.0.1:8010)" 'nobody here'
  proxy_end pages
  is '502 Bad Gateway' "$(route broken.test 1 && get broken.test)"
}

# More than a connection takes at once, and than a stream of HTTP/2 may have waiting.
large_error_page() {
  mkdir -p "$work/large"
  head -c 675000 /dev/urandom | base64 -w 0 >"$work/large/error_502.html"
  proxy_start large ".http.port = 8010 | .admin.port = 8011 | .server.staticDir = \"$work/large\" | del(.driver, .store)"
  curl -s -X PUT -d '{"backends":["http://127.0.0.1:1"]}' http://127.0.0.1:8011/v1/routes/broken.test >/dev/null
  local ask=(curl -s --limit-rate 2M -H 'Host: broken.test')
  "${ask[@]}" http://127.0.0.1:8010/a http://127.0.0.1:8010/b >"$work/large/got" # one behind the other
  cat "$work/large/error_502.html" "$work/large/error_502.html" | cmp - "$work/large/got"
  "${ask[@]}" --http2-prior-knowledge http://127.0.0.1:8010/a | cmp - "$work/large/error_502.html"
  proxy_end large
}

logged() { grep -aq -- "$1" "$work/main.access"; }
access_log() {
  local line
  is 200 "$(put logged.test '{"backends":["http://127.0.0.1:9001"],"id":"an \"id\" \\ of mine"}')"
  get logged.test '/bytes/1234?q="x"' -H 'Referer: http://from.test/"y"' -A 'agent "z" \ w' >/dev/null
  eventually 2 logged 'bytes/1234'
  line=$(grep -a bytes/1234 "$work/main.access")
  grep -qE '^127\.0\.0\.1 - - \[[0-9]{2}/[A-Z][a-z]{2}/20[0-9]{2}:[0-9:]{8} \+0000\] "GET /bytes/1234\?q=\\x22x\\x22 HTTP/1\.1" 200 1234 "http://from\.test/\\x22y\\x22" "agent \\x22z\\x22 \\x5c w" "an \\x22id\\x22 \\x5c of mine" [0-9]+\.[0-9]{3} [0-9]+\.[0-9]{3}$' <<<"$line" ||
    { echo "$line"; return 1; }
  is 12 "$(tr -cd '"' <<<"${line//\\x22/}" | wc -c | awk '{print $1 + 4}')" "quotes of its fields"
  route plain.test 9001
  get plain.test /wait/0.3 >/dev/null
  eventually 2 logged '/wait/0.3'
  grep -aE '"GET /wait/0.3 HTTP/1.1" 200 6 "" ".*" "plain.test" 0\.[3-9][0-9]* 0\.[3-9]' "$work/main.access"
  code nobody.test /lost >/dev/null
  eventually 2 logged '"GET /lost HTTP/1.1" 400 .*"nobody.test"'
  printf 'GET / HTTP/1.1\r\nHost: x\r\nBad name: x\r\n\r\n' | timeout 5 socat -t2 - TCP:127.0.0.1:8000 >/dev/null
  eventually 2 logged ' 400 .* "-" '
  mv "$work/main.access" "$work/main.access.1"
  get plain.test /before >/dev/null
  kill -USR1 "$(proxy_pid main)"
  eventually 2 test -e "$work/main.access"
  eventually 2 eval '[ "$(find "$work/main.access.1" -newermt "-0.4 seconds")" = "" ]'
  for _ in {1..8}; do get plain.test /after >/dev/null; done # by both workers
  eventually 2 eval '[ "$(grep -c "GET /after" "$work/main.access")" = 8 ]'
  grep -q /before "$work/main.access.1"
  fails grep -q /after "$work/main.access.1"
}

metrics() {
  route counted.test 9001
  local before after
  eventually 2 metric berth_proxy_requests_total'{status="2xx"}'
  before=$(metric 'berth_proxy_requests_total{status="2xx"}' 'berth_proxy_requests_total{status="4xx"}' berth_proxy_no_route_total \
    berth_proxy_sent_bytes_total berth_proxy_received_bytes_total berth_proxy_request_duration_seconds_count)
  tally 10 counted.test >/dev/null
  code nobody.test >/dev/null
  get counted.test / --data-binary @/bin/busybox >/dev/null
  after=$(metric 'berth_proxy_requests_total{status="2xx"}' 'berth_proxy_requests_total{status="4xx"}' berth_proxy_no_route_total \
    berth_proxy_sent_bytes_total berth_proxy_received_bytes_total berth_proxy_request_duration_seconds_count)
  is "11 1 1 $((40 + $(get counted.test / --data-binary @/bin/busybox | wc -c) + $(get nobody.test | wc -c))) $(stat -Lc %s /bin/busybox) 12" \
    "$(paste -d' ' <(xargs -n 1 <<<"$before") <(xargs -n 1 <<<"$after") | awk '{print $2 - $1}' | xargs)"
  is "$(admin GET /v1/routes >/dev/null; jq length "$work/answer")" "$(metric berth_proxy_routes)"
}

# --- TLS ---

shown() { # host [openssl argument...]: whose certificate is shown to who asks for the host
  local host=$1
  shift
  timeout 5 openssl s_client -connect 127.0.0.1:8443 -servername "$host" "$@" </dev/null 2>/dev/null | openssl x509 -noout -subject 2>/dev/null | sed 's/.*= *//'
}
secure() { curl -s --max-time 10 --http1.1 --cacert "$1" --resolve "$2:8443:127.0.0.1" "https://$2:8443${3:-/}" "${@:4}"; } # authority host [path]
tls() {
  route own.test 9001
  route later.test 9002
  is default.test "$(shown nobody.test)"
  is default.test "$(shown own.test)"
  certificate "$work/certs/own.test" own.test
  eventually 3 eval '[ "$(shown own.test)" = own.test ]'
  certificate "$work/certs/_.wide.test" '*.wide.test'
  eventually 3 eval '[ "$(shown x.wide.test)" = "*.wide.test" ]'
  is own.test "$(shown OWN.test)"
  is default.test "$(shown a.b.wide.test)"
  is default.test "$(shown '../own.test')"
  is 9001 "$(secure "$work/certs/own.test/cert.pem" own.test)"
  secure "$work/certs/own.test/cert.pem" own.test /headers | jq -e '.fields | map({(.[0] | ascii_downcase): .[1]}) | add |
    ."x-forwarded-proto" == "https" and ."x-forwarded-port" == "8443"'
  head -c 3000000 /dev/urandom >"$work/upload"
  is "3000000 $(sha256sum <"$work/upload" | cut -d' ' -f1)" "$(secure "$work/certs/own.test/cert.pem" own.test / -T "$work/upload")"
  is 5000000 "$(secure "$work/certs/own.test/cert.pem" own.test /bytes/5000000 | wc -c)"
  is 5000000 "$(secure "$work/certs/own.test/cert.pem" own.test /bytes/5000000 --limit-rate 20M | wc -c)"
  echo broken >"$work/certs/own.test/cert.pem" # what was there stays, and the others are not touched
  certificate "$work/certs/later.test" later.test
  eventually 3 eval '[ "$(shown later.test)" = later.test ]'
  is own.test "$(shown own.test)"
  grep -q 'own.test/cert.pem' "$work/main.log"
  certificate "$work/certs/own.test" renewed.test
  eventually 3 eval '[ "$(shown own.test)" = renewed.test ]'
  rm -r "$work/certs/later.test"
  eventually 3 eval '[ "$(shown later.test)" = default.test ]'
  is '' "$(shown own.test -tls1_1)"
  is "TLSv1.2 TLSv1.3" "$(for version in 2 3; do timeout 5 openssl s_client -connect 127.0.0.1:8443 "-tls1_$version" </dev/null 2>/dev/null | grep -o 'TLSv1\.[23],' | head -n 1; done | tr -d , | xargs)"
  contains "$(printf 'GET / HTTP/1.1\r\nHost: own.test\r\n\r\n' | timeout 5 socat -t2 - TCP:127.0.0.1:8443 | tr -d '\0')" ''
  answers
}

# --- signals ---

users() {
  mkdir -p "$work/of-nobody"
  chown nobody "$work/of-nobody"
  proxy_start user ".http.port = 80 | .admin.port = 8011 | .user = \"nobody\" | .group = \"nogroup\" | del(.driver) |
    .store = \"$work/of-nobody/store\" | .server.accessLog = \"$work/of-nobody/access\""
  local pid
  pid=$(proxy_pid user)
  is "nobody nogroup" "$(ps -o user=,group= -p "$pid" | xargs)"
  is "$(id -g nobody)" "$(awk '/^Groups/ {print $2}' "/proc/$pid/status")"
  is 0000000000000000 "$(awk '/^CapEff/ {print $2}' "/proc/$pid/status")"
  is 200 "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -d '{"backends":["http://127.0.0.1:9001"]}' http://127.0.0.1:8011/v1/routes/user.test)"
  is 9001 "$(curl -s -H 'Host: user.test' http://127.0.0.1/)"
  mv "$work/of-nobody/access" "$work/of-nobody/access.1"
  kill -USR1 "$pid"
  eventually 2 test -e "$work/of-nobody/access"
  kill -USR2 "$pid"
  eventually 10 handed_over user "$pid" || { tail -n 3 "$work/user.log"; return 1; }
  is 9001 "$(curl -s -H 'Host: user.test' http://127.0.0.1/)"
  is nobody "$(ps -o user= -p "$(proxy_pid user)")"
  proxy_end user
}

no_zombies() { [ -z "$(ps -o pid= --ppid "$1" | xargs -r ps -o stat= -p | grep Z)" ]; }
loaded() { # what: it happens under load, and no request fails
  route load.test 9001 9002
  rm -f "$work/enough"
  clients load load.test "$work/enough" >"$work/load" 2>&1 &
  local loader=$!
  sleep 0.5
  "$@" || { touch "$work/enough"; wait $loader; return 1; }
  sleep 0.5
  touch "$work/enough"
  wait $loader || { cat "$work/load"; return 1; }
  cat "$work/load"
}
hand_over_thrice() {
  local _ pid
  for _ in 1 2 3; do
    pid=$(proxy_pid main)
    kill -USR2 "$pid"
    eventually 15 handed_over main "$pid" || { tail -n 3 "$work/main.log"; return 1; }
    no_zombies "$(proxy_pid main)"
  done
}
broken_successor() {
  local pid
  pid=$(proxy_pid main)
  : >"$work/main.log"
  cp "$work/main.json" "$work/main.good"
  for broken in '{' "$(jq '.http.port = 0' "$work/main.good")" "$(jq '.http.bind += ["192.0.2.1"]' "$work/main.good")"; do
    echo "$broken" >"$work/main.json"
    kill -USR2 "$pid"
    eventually 10 grep -q 'goes on' "$work/main.log" || { tail -n 3 "$work/main.log"; return 1; }
    : >"$work/main.log"
    is "$pid" "$(successor_of main)"
    no_zombies "$pid"
    answers
  done
  mv "$work/main.good" "$work/main.json"
}
changed_successor() { # what the configuration says now
  proxy_start changing '.http.port = 8010 | .admin.port = 8011 | del(.driver)'
  local pid
  pid=$(proxy_pid changing)
  curl -s -X PUT -d '{"backends":["http://127.0.0.1:9001"]}' http://127.0.0.1:8011/v1/routes/kept.test >/dev/null
  jq '.http.bind = ["127.0.0.1", "127.0.0.7"] | .server.workers = 3' "$work/changing.json" >"$work/changing.new"
  mv "$work/changing.new" "$work/changing.json"
  kill -USR2 "$pid"
  eventually 10 handed_over changing "$pid"
  is "9001 9001" "$(curl -s -H 'Host: kept.test' http://127.0.0.1:8010/) $(curl -s -H 'Host: kept.test' http://127.0.0.7:8010/)"
  is 5 "$(grep -c '' <<<"$(cat /proc/"$(proxy_pid changing)"/task/*/comm)" | awk '{print ($1 >= 5) ? 5 : $1}')"
  jq '.http.bind = ["127.0.0.7"] | .server.workers = 1' "$work/changing.json" >"$work/changing.new"
  mv "$work/changing.new" "$work/changing.json"
  pid=$(proxy_pid changing)
  kill -USR2 "$pid"
  eventually 10 handed_over changing "$pid"
  is 40 "$(for _ in {1..40}; do curl -s -o /dev/null -w '%{http_code}\n' -H 'Host: kept.test' http://127.0.0.7:8010/; done | grep -c 200)"
  exits 7 curl -s http://127.0.0.1:8010/
  proxy_end changing
}
changes_over_hand_over() {
  local journal=$work/journal.over maker
  python3 "$helpers/changes.py" make "$journal" 100000 100000 & # hosts: none is said again
  maker=$!
  eventually 10 longer_than 100 "$journal"
  hand_over_thrice || { kill $maker; return 1; }
  kill $maker
  wait $maker || true
  python3 "$helpers/changes.py" check "$journal"
}
drained() {
  clients drain "$(proxy_pid main)"
  eventually 5 gone "$(proxy_pid main)"
  proxy_again main
}
drained_crowd() {
  clients crowd_at_the_end "$(proxy_pid main)" SIGTERM
  eventually 10 gone "$(proxy_pid main)"
  proxy_again main
}
handed_over_crowd() {
  local old
  old=$(proxy_pid main)
  clients crowd_at_the_end "$old" SIGUSR2
  eventually 10 handed_over main "$old"
}
thousand_changes() {
  route churn.test 9001 9002
  wrk -t1 -c24 -d5s -H 'Host: churn.test' http://127.0.0.1:8000/ >"$work/wrk" 2>&1 &
  local loader=$!
  python3 - "$helpers" <<'P'
import sys
sys.path.insert(0, sys.argv[1])
from ends import route
for number in range(1000):
    route("churn.test", *(f"http://127.0.0.1:{9001 + (number + at) % 3}" for at in range(1 + number % 3)))
P
  wait $loader
  cat "$work/wrk"
  grep -qE '[0-9]{3,} requests in' "$work/wrk"
  fails grep -qE 'Socket errors|Non-2xx' "$work/wrk"
}

# By HTTP/2, to a client that reads a little more slowly than the backend gives, and from one that is quicker than it.
large_bodies_http2() { traffic flat_memory_http2 "$(proxy_pid main)" "${MEGABYTES:-200}"; }
large_bodies() { traffic flat_memory "$(proxy_pid main)" "${MEGABYTES:-1024}"; }
unread() { traffic stalled "$(proxy_pid main)"; }
no_descriptors() { traffic no_descriptors "$(proxy_pid main)"; }
unread_answers() { traffic unread_answers "$(proxy_pid main)"; }
slow_client() { eventually 45 test -s "$work/slow.results"; is "$1: ok" "$(grep "^$1:" "$work/slow.results")"; }

certificate "$work/tls" default.test
mkdir -p "$work/certs"
backends_start 9001 9002 9003
backends_start 9004
redis_start
# Clients that are waited for need their time: they have it beside all others.
proxy_start slow ".http.port = 8100 | .admin.port = 8101 | .https = {port: 8143, bind: \"127.0.0.1\", cert: \"$work/tls/cert.pem\", key: \"$work/tls/key.pem\"} | del(.driver, .store)" || exit 1
ADMIN_PORT=8101 setsid timeout 100 python3 "$helpers/clients.py" slow_clients "$work/slow.results" 8100 8143 >"$work/slow.out" 2>&1 &
disown $!

proxy_case "balancing" balancing
proxy_case "sticky" sticky
proxy_case "dead backends are not seen by clients" dead_backends
proxy_case "health checks" health_checks
proxy_case "forwarding fields, and whose are believed" forwarded
proxy_case "error pages" error_pages
proxy_case "a large error page" large_error_page
proxy_case "access log" access_log
proxy_case "metrics" metrics
proxy_case "answers are streamed" traffic streamed_answer
proxy_case "answers until the end" traffic until_the_end
proxy_case "requests are streamed" traffic streamed_request
proxy_case "half-closed" traffic half_closed
proxy_case "websocket" traffic tunnel
proxy_case "websocket: nothing is lost at the end" traffic tunnel_to_the_end
proxy_case "websocket: only where it was asked for" traffic no_tunnel
proxy_case "a client that goes frees its backend" traffic client_gone closed
proxy_case "a client that resets frees its backend" traffic client_gone reset
proxy_case "a request is sent once" traffic sent_once
proxy_case "a backend that closes idle connections" traffic idle_closed
proxy_case "a request that is lost on an idle connection" traffic lost_on_idle
proxy_case "a lost idle connection is no try at the backend" traffic lost_is_no_try
proxy_case "what comes behind an answer" traffic leftovers
proxy_case "a client that asks whether to send" traffic waits_to_continue
proxy_case "no ports are left for backends" traffic no_ports
proxy_case "HTTP/2: a request that is answered already" http2_clients answered_early
proxy_case "HTTP/2: a client that asks whether to send" http2_clients asks_whether_to_send
proxy_case "HTTP/2: frames that carry nothing" http2_clients empty_frames
proxy_case "HTTP/2: streams that stand still" http2_clients stuck_streams
proxy_case "backends that are silent" traffic silent_backends 2
! runs "$(proxy_pid main)" || proxy_end main 9 # memory that has not been used yet, and no idle connections
proxy_case "no descriptors are left for backends" no_descriptors
proxy_case "answers that nobody reads" unread_answers
proxy_case "large bodies" large_bodies
proxy_case "large bodies by HTTP/2" large_bodies_http2
proxy_case "who does not read is waited for" unread
proxy_case "who reads slowly is served to the end" traffic slow_reader
export MAIN=".https = {port: 8443, bind: \"127.0.0.1\", cert: \"$work/tls/cert.pem\", key: \"$work/tls/key.pem\", certDir: \"$work/certs\"}"
proxy_case "TLS" tls
export MAIN=
proxy_case "another user" users
proxy_case "a thousand changes under load" thousand_changes
proxy_case "USR2: another program takes over" loaded hand_over_thrice
proxy_case "USR2: one that is broken does not" loaded broken_successor
proxy_case "USR2: the new configuration holds" changed_successor
proxy_case "USR2 in a stream of changes" changes_over_hand_over
proxy_case "TERM: what is under way ends" drained
proxy_case "TERM: who has asked already is answered" drained_crowd
proxy_case "USR2: who has asked already is answered" handed_over_crowd
for name in slow_head no_head no_handshake slow_body patient unread; do proxy_case "slow clients: $name" slow_client $name; done
proxy_finish
