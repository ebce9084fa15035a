#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What routes ask of requests: paths of their own, who may ask and how often, what is changed, where a part of them goes.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"

# shellcheck disable=SC2016,SC2034 # jq's variables; lib.sh reads it
MAIN='.https = {port: 8443, bind: ["127.0.0.1"], key: "\($work)/tls/key.pem", cert: "\($work)/tls/cert.pem"} |
  .trustedProxies = ["127.0.0.2"] | del(.driver)'
B1='"http://127.0.0.1:9001"' B2='"http://127.0.0.1:9002"' B3='"http://127.0.0.1:9003"' NOBODY='"http://127.0.0.1:9099"'
HOLE='"http://10.99.0.2:80"'
followed() { answers; } # there is no Redis here

makes() { # host document
  is 200 "$(put "$1" "$2")" "status of a PUT of $1: $(cat "$work/answer")"
}
refused() { # host document word: that the answer names
  is 400 "$(put "$1" "$2")"
  grep -F -- "$3" "$work/answer" >/dev/null || { echo "not named: $3: $(cat "$work/answer")"; return 1; }
}
as_is() { get "$1" "$2" --path-as-is "${@:3}"; }               # host path
status_of() { code "$1" "$2" --path-as-is "${@:3}"; }          # host path
field_of() { get "$1" "$2" -D - -o /dev/null "${@:4}" | tr -d '\r' | sed -n "s/^$3: //Ip"; } # host path name
told() { get "$1" "$2" "${@:4}" | jq -r --arg name "$3" '[.fields[] | select((.[0] | ascii_downcase) == ($name | ascii_downcase)) | .[1]] | join("|")'; }
secure() { curl -sk --max-time 10 --resolve "$1:8443:127.0.0.1" -o /dev/null -w '%{http_code}' "https://$1:8443$2"; } # host path
within() { # milliseconds command...: and no longer
  local most=$1 began
  shift
  began=$(date +%s%N)
  "$@" || return 1
  began=$((($(date +%s%N) - began) / 1000000))
  [ "$began" -le $((most * slowness)) ] || { echo "it took $began ms: $*"; return 1; }
}

paths() {
  makes paths.test "{\"backends\":[$B1],\"paths\":{\"/api\":{\"backends\":[$B2]},\"/api/deep/\":{\"backends\":[$B3]}}}"
  is 9001 "$(as_is paths.test /)"
  is 9001 "$(as_is paths.test /apix)"
  is 9002 "$(as_is paths.test /api)"
  is 9002 "$(as_is paths.test '/api/x?/api/deep')"
  is 9003 "$(as_is paths.test /api/deep/x)"
  is 9002 "$(as_is paths.test /api/deeper)"
  is 9002 "$(as_is paths.test /api/a%20b//x)"
}

ambiguous_paths() { # nobody comes by another way to what a path guards
  makes guard.test "{\"backends\":[$B1],\"paths\":{\"/admin\":{\"deny\":[\"0.0.0.0/0\",\"::/0\"]}}}"
  is 403 "$(status_of guard.test /admin)"
  is 403 "$(status_of guard.test /admin/x)"
  local path
  for path in /x/../admin //admin /./admin /%61dmin /x/..%2fadmin '/x\admin' '/x\..\admin' '/admin;a=b' '/admin;a=b/c' /admin%2fx \
    /x/%2e%2e/admin /admin/../admin/../x /admin%3fx /x/../admin//../secret '/x/../admin/..;/y' '/x/../admin/..\y' \
    /x/../admin/%2e%2e/y /x/../y; do
    case $path in '/x\admin') wanted=200 ;; *) wanted=400 ;; esac
    is "$wanted" "$(status_of guard.test "$path")" "$path"
  done
  is 200 "$(status_of guard.test /x/..y)"
  is 200 "$(status_of guard.test /administration)"
}

stripped_paths() {
  makes strip.test "{\"backends\":[$B1],\"paths\":{\"/a\":{\"backends\":[\"http://127.0.0.1:9002/in\"]},
    \"/app\":{\"strip_path\":true}}}"
  is /headers/x "$(get strip.test /app/headers/x | jq -r .target)"
  is '/headers?q' "$(get strip.test '/app/headers?q' | jq -r .target)"
  is /app "$(told strip.test /app/headers X-Forwarded-Prefix -H 'X-Forwarded-Prefix: /evil')"
  is 9001 "$(get strip.test /app)"
  is 9001 "$(get strip.test '/app?x')"
  makes prefix.test '{"backends":["http://127.0.0.1:9001/headers"]}'
  is '/headers/a/../b' "$(as_is prefix.test /a/../b | jq -r .target)"
  local path
  for path in /../x /a/../../x /%2e%2e/x '/a/..;/../x' '/a%2f..%2f..%2fx'; do is 400 "$(status_of prefix.test "$path")" "$path"; done
  is 400 "$(status_of strip.test /app/../app/x)"
  makes strip2.test "{\"backends\":[\"http://127.0.0.1:9001/headers\"],\"paths\":{\"/app\":{\"strip_path\":true}}}"
  is '/headers/?x' "$(get strip2.test '/app?x' | jq -r .target)"
}

redirects() {
  makes safe.test "{\"backends\":[$B1],\"redirect_https\":{\"port\":8443},
    \"paths\":{\"/.well-known/acme-challenge\":{\"redirect_https\":false}}}"
  is 308 "$(code safe.test '/a?b=c')"
  is 'https://safe.test:8443/a?b=c' "$(field_of safe.test '/a?b=c' Location)"
  is 200 "$(secure safe.test /)"
  is 9001 "$(get safe.test /.well-known/acme-challenge/x)"
  is 9001 "$(get safe.test / --interface 127.0.0.2 -H 'X-Forwarded-Proto: https')" "a trusted proxy has TLS"
  is 308 "$(code safe.test / -H 'X-Forwarded-Proto: https')" "anybody can say so"
  makes safe.test "{\"backends\":[$B1],\"redirect_https\":true}"
  is 'https://safe.test/' "$(field_of safe.test / Location)"
}

maintenance() {
  makes down.test "{\"maintenance\":{\"page\":\"<p>back soon\",\"retry_after\":60,\"except\":[\"127.0.0.3\"]},\"backends\":[$B1]}"
  is 503 "$(code down.test)"
  is '<p>back soon' "$(get down.test)"
  is 60 "$(field_of down.test / Retry-After)"
  is 'text/html; charset=utf-8' "$(field_of down.test / Content-Type)"
  is 9001 "$(get down.test / --interface 127.0.0.3)"
  makes down.test '{"maintenance":true}'
  is 503 "$(code down.test)"
}

addresses() {
  makes few.test "{\"backends\":[$B1],\"allow\":[\"127.0.0.1\",\"127.0.0.4/30\",\"192.0.2.0/24\"],\"deny\":[\"127.0.0.5\"]}"
  is 9001 "$(get few.test)"
  is 9001 "$(get few.test / --interface 127.0.0.6)"
  is 403 "$(code few.test / --interface 127.0.0.5)"
  is 403 "$(code few.test / --interface 127.0.0.9)"
  is 403 "$(code few.test / --interface 127.0.0.9 -H 'X-Forwarded-For: 127.0.0.1')" "anybody can say so"
  is 9001 "$(get few.test / --interface 127.0.0.2 -H 'X-Forwarded-For: 192.0.2.7')"
  is 403 "$(code few.test / --interface 127.0.0.2 -H 'X-Forwarded-For: 192.0.2.7, 198.51.100.1')" "the last one counts"
  is 403 "$(code few.test / --interface 127.0.0.2 -H 'X-Forwarded-For: 127.0.0.1, nonsense')"
  # What gateways write there, where their own address is one that may ask.
  makes near.test "{\"backends\":[$B1],\"allow\":[\"127.0.0.0/8\",\"192.0.2.0/24\"]}"
  local node
  for node in 203.0.113.9 203.0.113.9:4711 unknown '203.0.113.9, ' '[2001:db8::1]:4711' 2001:db8::1 _hidden; do
    is 403 "$(code near.test / --interface 127.0.0.2 -H "X-Forwarded-For: $node")" "$node"
  done
  for node in 192.0.2.7:4711 '192.0.2.7, ,'; do
    is 200 "$(code near.test / --interface 127.0.0.2 -H "X-Forwarded-For: $node")" "$node"
  done
}

passwords() {
  local hash
  hash=$(openssl passwd -6 'open:sesame')
  makes auth.test "{\"backends\":[$B1],\"basic_auth\":{\"realm\":\"here\",\"users\":{\"alice\":\"$hash\"}}}"
  is 401 "$(code auth.test)"
  is 'Basic realm="here", charset="UTF-8"' "$(field_of auth.test / WWW-Authenticate)"
  is 401 "$(code auth.test / -u alice:wrong)"
  is 401 "$(code auth.test / -u 'bob:open:sesame')"
  is 401 "$(code auth.test / -H 'Authorization: Basic !!!')"
  is 401 "$(code auth.test / -H 'Authorization: Bearer x')"
  is 9001 "$(get auth.test / -u 'alice:open:sesame')"
  is 9001 "$(get auth.test / -u 'alice:open:sesame')"
  is alice "$(told auth.test /headers X-Forwarded-User -u 'alice:open:sesame' -H 'X-Forwarded-User: root')"
  is '' "$(told auth.test /headers Authorization -u 'alice:open:sesame')"
  is '' "$(told auth.test /headers X_Forwarded_User -u 'alice:open:sesame' -H 'X_Forwarded_User: root')" "the same to CGI"
  makes open.test "{\"backends\":[$B1]}"
  is '' "$(told open.test /headers X-Forwarded-User -H 'X-Forwarded-User: root')" "the backend may be one that believes it"
  is root "$(told open.test /headers X-Forwarded-User --interface 127.0.0.2 -H 'X-Forwarded-User: root')" "a trusted proxy has asked"
  is 401 "$(curl -sk --resolve auth.test:8443:127.0.0.1 --http2 -o /dev/null -w '%{http_code}' -u alice:wrong https://auth.test:8443/)"
  is 200 "$(curl -sk --resolve auth.test:8443:127.0.0.1 --http2 -o /dev/null -w '%{http_code}' -u 'alice:open:sesame' https://auth.test:8443/)"
  # By HTTP/2 the first time that the password is said, with a connection to the backend that is idle.
  makes auth.test "{\"backends\":[$B1],\"basic_auth\":{\"realm\":\"here\",\"users\":{\"alice\":\"$(openssl passwd -6 'open:sesame')\"}}}"
  get open.test >/dev/null
  is 200 "$(curl -sk --max-time 5 --resolve auth.test:8443:127.0.0.1 --http2 -o /dev/null -w '%{http_code}' -u 'alice:open:sesame' \
    https://auth.test:8443/)"
  admin GET /v1/routes/auth.test >/dev/null
  describes '.basic_auth.users.alice == "***"'
  makes auth.test "{\"backends\":[$B1],\"basic_auth\":{\"users\":{\"alice\":\"$(openssl passwd -6 other)\"}}}"
  is 401 "$(code auth.test / -u 'alice:open:sesame')" "it is another password now"
}

slow_passwords() { # whoever guesses makes nobody else wait
  local hash pids=() number
  hash=$(python3 -W ignore -c 'import crypt; print(crypt.crypt("right", "$6$rounds=500000$abcdefgh"))')
  makes slow.test "{\"backends\":[$B1],\"basic_auth\":{\"users\":{\"a\":\"$hash\"}}}"
  makes quick.test "{\"backends\":[$B1]}"
  for number in $(seq 24); do
    code slow.test / -u "a:guess$number" >"$work/guess.$number" &
    pids+=($!)
  done
  sleep 0.3
  for number in 1 2 3 4 5 6 7 8; do within 500 serves quick.test 9001; done
  wait "${pids[@]}"
  # The right one, asked for many times at once, is one question.
  get slow.test '/?[1-12]' -u a:right --parallel --parallel-max 12 -o /dev/null -w '%{http_code}\n' >"$work/right"
  is '12 200' "$(sort "$work/right" | uniq -c | xargs)"
  cat "$work"/guess.* | grep -E '^(401|503)+$' >/dev/null
  is 0 "$(cat "$work"/guess.* | grep -c 200)"
  [ "$(cat "$work"/guess.* | grep -o 503 | wc -l)" -ge 8 ] || { echo "one client may guess without a bound"; return 1; }
  is 9001 "$(get slow.test / -u a:right)"
}

rates() {
  makes rate.test "{\"backends\":[$B1],\"limits\":{\"requests_per_second\":0.5,\"burst\":3}}"
  is '200 200 200 429' "$(for _ in 1 2 3 4; do code rate.test; echo; done | xargs)"
  is 2 "$(field_of rate.test / Retry-After)"
  is 200 "$(code rate.test / --interface 127.0.0.7)" "another client"
  makes rate.test "{\"backends\":[$B1],\"limits\":{\"requests_per_second\":0.5,\"burst\":3},\"id\":\"changed\"}"
  is 429 "$(code rate.test)" "a change of the route forgets nothing"
  sleep 2.2
  is 200 "$(code rate.test)"
  makes whole.test "{\"backends\":[$B1],\"limits\":{\"requests_per_second\":0.1,\"burst\":2},\"paths\":{\"/a\":{},
    \"/b\":{\"limits\":{\"requests_per_second\":0.1,\"burst\":1}}}}"
  is '200 200 429 429' "$(for path in /x /a /a /x; do code whole.test $path; echo; done | xargs)" "a path counts with its host"
  is '200 429' "$(for path in /b /b; do code whole.test $path; echo; done | xargs)" "its own count by themselves"
  makes all.test "{\"backends\":[$B1],\"limits\":{\"requests_per_second\":0.1,\"burst\":2,\"by\":\"route\"}}"
  is '200 200 429' "$(for from in 1 7 8; do code all.test / --interface "127.0.0.$from"; echo; done | xargs)"
}

concurrent() {
  makes busy.test "{\"backends\":[$B1],\"limits\":{\"concurrent\":2}}"
  local first second
  get busy.test /wait/1.2 >"$work/first" & first=$!
  get busy.test /wait/1.2 >"$work/second" & second=$!
  sleep 0.6
  is 503 "$(code busy.test)"
  wait $first $second
  is 'waited waited' "$(cat "$work/first") $(cat "$work/second")"
  is 200 "$(code busy.test)"
  # Those that are cut count no more, either.
  fails timeout 0.5 curl -s -H 'Host: busy.test' http://127.0.0.1:8000/wait/3
  fails timeout 0.5 curl -s -H 'Host: busy.test' http://127.0.0.1:8000/wait/3
  eventually 2 answers_with busy.test 200
}

bodies() {
  makes small.test "{\"backends\":[$B1],\"limits\":{\"body_bytes\":1000}}"
  is 200 "$(head -c 1000 /dev/zero | code small.test / --data-binary @-)"
  is 413 "$(head -c 1001 /dev/zero | code small.test / --data-binary @-)"
  is 200 "$(head -c 1000 /dev/zero | code small.test / -T - -X POST)"
  is 413 "$(head -c 1001 /dev/zero | code small.test / -T - -X POST)"
  is 413 "$(head -c 10000000 /dev/zero | code small.test / -T - -X POST)"
}

fields() {
  makes fields.test "{\"backends\":[$B1],
    \"request_headers\":{\"set\":{\"X-One\":\"1\",\"Host\":\"inner.test\"},\"add\":{\"X-Two\":\"b\"},\"remove\":[\"Cookie\"]},
    \"response_headers\":{\"set\":{\"Strict-Transport-Security\":\"max-age=60\"},\"remove\":[\"Server\"]}}"
  is 1 "$(told fields.test /headers X-One -H 'x-one: evil')"
  is 'a|b' "$(told fields.test /headers X-Two -H 'X-Two: a')"
  is inner.test "$(told fields.test /headers Host)"
  is '' "$(told fields.test /headers Cookie -b a=b)"
  is max-age=60 "$(field_of fields.test / Strict-Transport-Security)"
  is '' "$(field_of fields.test / Server)"
  is max-age=60 "$(curl -sk --resolve fields.test:8443:127.0.0.1 --http2 -D - -o /dev/null https://fields.test:8443/ | tr -d '\r' |
    sed -n 's/^strict-transport-security: //p')"
  refused fields.test "{\"backends\":[$B1],\"request_headers\":{\"set\":{\"Content-Length\":\"1\"}}}" Content-Length
}

canaries() {
  makes canary.test "{\"backends\":[$B1],\"canary\":{\"backends\":[$B2],\"percent\":20}}"
  local share
  share=$(tally 400 canary.test | grep -o '9002:[0-9]*' | cut -d: -f2)
  [ "$share" -gt 40 ] && [ "$share" -lt 130 ] || { echo "$share of 400 went to the canary"; return 1; }
  makes canary.test "{\"backends\":[$B1],\"canary\":{\"backends\":[$B2],\"percent\":0}}"
  is 9001:60 "$(tally 60 canary.test)"
  makes canary.test "{\"backends\":[$B1],\"canary\":{\"backends\":[$B2],\"percent\":100}}"
  is 9002:60 "$(tally 60 canary.test)"
  makes canary.test "{\"backends\":[$B1],\"canary\":{\"backends\":[$NOBODY],\"percent\":100}}"
  is 9001:60 "$(tally 60 canary.test)"
  makes canary.test "{\"backends\":[$B1],\"sticky\":true,\"canary\":{\"backends\":[$B2],\"percent\":50}}"
  get canary.test / -c "$work/jar" >/dev/null
  is 1 "$(tally 30 canary.test -b "$work/jar" | wc -w)"
}

mirrors() {
  makes mirror.test "{\"backends\":[$B1],\"mirror\":{\"backends\":[\"http://127.0.0.1:9004\"]}}"
  is 9001:20 "$(get mirror.test "/count/m?[1-20]" -w '\n' | sort | uniq -c | awk '{print $2 ":" $1}')"
  eventually 3 eval '[ "$(curl -s http://127.0.0.1:9004/seen/m)" = 20 ]'
  head -c 200000 /dev/urandom >"$work/body"
  local sum
  sum="200000 $(sha256sum <"$work/body" | cut -d' ' -f1)"
  is "$sum" "$(get mirror.test /note/b --data-binary @"$work/body")"
  eventually 3 eval "[ \"\$(curl -s http://127.0.0.1:9004/noted/b | jq -r .body)\" = '$sum' ]"
  is "$sum" "$(get mirror.test /note/c -X POST -T "$work/body" -H 'Transfer-Encoding: chunked')"
  eventually 3 eval "[ \"\$(curl -s http://127.0.0.1:9004/noted/c | jq -r .body)\" = '$sum' ]"
  is mirror.test "$(curl -s http://127.0.0.1:9004/noted/c | jq -r '.fields[] | select(.[0] == "Host")[1]')"
  # A mirror that is down, that swallows everything, or that is slow is nobody's trouble.
  makes mirror.test "{\"backends\":[$B1],\"mirror\":{\"backends\":[$NOBODY]}}"
  is 9001:50 "$(tally 50 mirror.test)"
  makes mirror.test "{\"backends\":[$B1],\"mirror\":{\"backends\":[$HOLE]}}"
  within 2000 eval 'is 9001:50 "$(tally 50 mirror.test)"'
  is "$sum" "$(get mirror.test / --data-binary @"$work/body")"
  head -c 20000000 /dev/zero >"$work/large"
  within 3000 eval "is '20000000 $(sha256sum <"$work/large" | cut -d' ' -f1)' \"\$(get mirror.test / --data-binary @$work/large)\""
  # A copy that fails says nothing of a backend that others have, too.
  makes other.test "{\"backends\":[\"http://127.0.0.1:9004\",$B1]}"
  makes mirror.test "{\"backends\":[$B1],\"mirror\":{\"backends\":[\"http://127.0.0.1:9004/status/502\",$NOBODY]}}"
  get mirror.test "/?[1-20]" >/dev/null
  sleep 0.3
  is 2 "$(tally 30 other.test | wc -w)"
  makes mirror.test "{\"backends\":[$B1],\"mirror\":{\"backends\":[\"http://127.0.0.1:9004\"],\"percent\":0}}"
  get mirror.test /count/never >/dev/null
  sleep 0.3
  is 0 "$(curl -s http://127.0.0.1:9004/seen/never)"
}

mirrored_credentials() { # a mirror is told what a backend is told, and nothing more
  makes mauth.test "{\"backends\":[$B1],\"mirror\":{\"backends\":[\"http://127.0.0.1:9004\"]},
    \"basic_auth\":{\"users\":{\"a\":\"$(openssl passwd -6 secret)\"}},\"request_headers\":{\"remove\":[\"Cookie\"]}}"
  get mauth.test /note/d -u a:secret -b x=y --data-binary hello >/dev/null
  eventually 3 eval '[ "$(curl -s http://127.0.0.1:9004/noted/d)" != null ]'
  curl -s http://127.0.0.1:9004/noted/d >"$work/answer"
  describes '[.fields[][0] | ascii_downcase] | (index("authorization") == null) and (index("cookie") == null)'
  describes '.fields | any(.[0] == "X-Forwarded-User" and .[1] == "a")'
}

timeouts() {
  makes time.test "{\"backends\":[$B1],\"timeouts\":{\"answer_ms\":300},\"retries\":{\"attempts\":0}}"
  within 1500 eval 'is 504 "$(code time.test /wait/3)"'
  is 200 "$(code time.test /)"
  makes time.test "{\"backends\":[$HOLE],\"timeouts\":{\"connect_ms\":200},\"retries\":{\"attempts\":0}}"
  within 1500 eval 'is 504 "$(code time.test)"'
}

retries() {
  makes try.test "{\"backends\":[$NOBODY,$B1],\"balance\":\"round-robin\",\"retries\":{\"attempts\":0}}"
  is '200 502' "$(for _ in 1 2; do code try.test; echo; done | sort | xargs)"
  makes try.test "{\"backends\":[$NOBODY,$B1],\"retries\":{\"attempts\":1}}"
  is 9001:20 "$(tally 20 try.test)"
}

wrong_documents() {
  refused x.test "{\"backends\":[$B1],\"request_headers\":{\"set\":{\"Host\":\"a\",\"host\":\"b\"}}}" "more than once"
  refused x.test "{\"backends\":[$B1],\"basic_auth\":{\"users\":{\"a\":\"\$6\$rounds=999999999\$aaaaaaaaaaaaaaaaaaaaaaaa\"}}}" costly
  refused x.test "{\"backends\":[$B1],\"basic_atuh\":{}}" basic_atuh
  refused x.test "{\"backends\":[$B1],\"paths\":{\"/a\":{\"limits\":{\"by\":\"x\",\"requests_per_second\":1}}}}" limits.by
  refused x.test "{\"paths\":{}}" backends
  is 404 "$(admin GET /v1/routes/x.test)"
}

why() {
  makes why.test "{\"backends\":[$B1],\"redirect_https\":true,\"paths\":{\"/a\":{\"backends\":[$B2],\"strip_path\":true}}}"
  is 200 "$(admin GET '/v1/why?url=http://why.test/a/b')"
  describes '.route.path == "/a" and (.route.backends | length == 1) and (.because | test("/a"))'
  describes '.conditions | any(test("https")) and any(test("cut"))'
  is 200 "$(admin GET '/v1/why?url=https://why.test:8443')"
  describes '.route.path == null and .conditions == null'
  is 200 "$(admin GET '/v1/why?url=http://why.test/x/..%252fa')"
  describes '.route == null and (.because | test("two ways"))'
}

kept() { # over a restart, and the file of static routes takes the same
  makes kept.test "{\"backends\":[$B1],\"paths\":{\"/a\":{\"deny\":[\"127.0.0.0/8\"]}}}"
  proxy_end main 9
  proxy_again main
  is 403 "$(code kept.test /a)"
  is 200 "$(code kept.test /b)"
}

certificate "$work/tls" default.test
backends_start 9001 9002 9003
backends_start 9004
redis_start

proxy_case "paths have routes of their own" paths
proxy_case "paths that can be read in two ways" ambiguous_paths
proxy_case "paths are cut from what backends see" stripped_paths
proxy_case "a redirect to HTTPS" redirects
proxy_case "maintenance" maintenance
proxy_case "who may ask, by address" addresses
proxy_case "who may ask, by password" passwords
proxy_case "passwords are checked beside the requests" slow_passwords
proxy_case "how often" rates
proxy_case "how many at once" concurrent
proxy_case "how much" bodies
proxy_case "fields are changed" fields
proxy_case "canaries" canaries
proxy_case "mirrors" mirrors
proxy_case "mirrors get no credentials" mirrored_credentials
proxy_case "timeouts of a route" timeouts
proxy_case "retries of a route" retries
proxy_case "documents that are wrong" wrong_documents
proxy_case "why says what stands before the backends" why
proxy_case "policies are kept" kept
proxy_finish
