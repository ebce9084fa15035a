#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `berth route`: the load balancer's routes by the command line.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"

route_of() { b route "$@"; }
export BERTH_PROXY=$api

nothing_there() { # no routes: a table without rows
  is "HOST      SOURCE    BACKENDS   OPTIONS   REQUESTS" "$(route_of ls)"
  is "" "$(route_of ls -q)"
  is "" "$(route_of ls --format json)"
}

added() { # and in force when it is said
  is one.test "$(route_of add one.test http://127.0.0.1:9001 127.0.0.1:9002=3 --balance round-robin --id first)"
  is "9001:1 9002:3" "$(tally 4 one.test)"
  is 200 "$(admin GET /v1/routes/one.test)"
  describes '.source == "admin" and .id == "first" and .balance == "round-robin"'
  describes '.backends | map([.url, .weight]) == [["http://127.0.0.1:9001", 1], ["http://127.0.0.1:9002", 3]]'
  route_of add '*.any.test' http://127.0.0.1:9003/=0 --sticky
  is 200 "$(admin GET /v1/routes/%2A.any.test)"
  describes '.sticky and .backends[0].weight == 0'
  route_of add checked.test 127.0.0.1:9001 127.0.0.1:9009 --health-path /up --health-interval 1.5s --health-timeout 250ms
  is 200 "$(admin GET /v1/routes/checked.test)"
  describes '.health == {"path": "/up", "interval_ms": 1500, "timeout_ms": 250}'
  route_of add one.test 127.0.0.1:9003
  is 200 "$(admin GET /v1/routes/one.test)"
  describes '(.backends | length) == 1 and has("id") == false and has("balance") == false' # all of it was replaced
  is 9003 "$(get one.test)"
}

added_by_file() { # the API's own document
  echo '{"backends": [{"url": "http://127.0.0.1:9002", "weight": 2}], "id": "of a file", "balance": "hash"}' >"$work/route.json"
  is filed.test "$(route_of add filed.test --file "$work/route.json")"
  is 9002 "$(get filed.test)"
  is 200 "$(admin GET /v1/routes/filed.test)"
  describes '.id == "of a file" and .balance == "hash"'
  is piped.test "$(echo '{"backends": ["http://127.0.0.1:9001"]}' | route_of add piped.test --file -)"
  is 9001 "$(get piped.test)"
  refused 1 'whole route' route_of add filed.test 127.0.0.1:9001 -f "$work/route.json"
  refused 1 'whole route' route_of add filed.test --sticky -f "$work/route.json"
  refused 1 'nowhere.json' route_of add filed.test -f "$work/nowhere.json"
  echo '{"backends": [' >"$work/bad.json"
  MOST_LINES=1 refused 1 'the route' route_of add filed.test -f "$work/bad.json"
  is 9002 "$(get filed.test)" "what was refused has changed nothing"
}

some_routes() {
  route_of add filed.test 127.0.0.1:9002 --id 'of a file' --balance hash
  route_of add '*.any.test' http://127.0.0.1:9003/=0 --sticky
  route_of add one.test 127.0.0.1:9003
} >/dev/null

listed() {
  some_routes
  route_of add checked.test 127.0.0.1:9001 127.0.0.1:9009 --health-path /up --health-interval 100ms
  eventually 5 eval 'route_of ls | grep -E "^checked.test +admin +1/2 +health=/up +[0-9]+$" >/dev/null'
  get filed.test >/dev/null
  route_of ls >"$work/table"
  grep -xE 'HOST +SOURCE +BACKENDS +OPTIONS +REQUESTS' "$work/table"
  grep -xE 'filed.test +admin +1/1 +balance=hash +[1-9][0-9]*' "$work/table"
  grep -xE '\*.any.test +admin +1/1 +sticky +[0-9]+' "$work/table"
  is "*.any.test checked.test filed.test one.test" "$(route_of ls -q | xargs)"
  is "filed.test of a file" "$(route_of list --format '{{.Host}} {{.ID}}' | grep filed)"
  is "filed.test admin 1/1 balance=hash" "$(route_of ls --format json | jq -r 'select(.Host == "filed.test") | [.Host, .Source, .Backends, .Options] | join(" ")')"
  contains "$(route_of ls --format 'table {{.Host}}\t{{.Failures}}')" FAILURES
  refused 1 'Nope' route_of ls --format '{{.Nope}}'
}

told_why() {
  some_routes
  said=$(route_of why http://x.any.test/some?thing)
  contains "$said" 'http://x.any.test/some?thing goes by the route *.any.test, which comes from the admin API'
  contains "$said" wildcard
  contains "$said" 'It has sticky.'
  contains "$said" 'It has one backend, which is alive:'
  contains "$said" '  http://127.0.0.1:9003/  alive, weight 0, 0 in flight'
  is "*.any.test" "$(route_of why x.any.test --format json | jq -r .route.host)"
  exits 1 route_of why https://nobody.test
  contains "$said" 'https://nobody.test goes nowhere: there is no route'
  exits 1 route_of why nobody.test --format json
  is null "$(jq .route <<<"$said")"
  refused 1 'format' route_of why x.any.test --format yaml
  refused 1 'url' route_of why ''
}

told_of_the_dead() {
  route_of add dying.test 127.0.0.1:9009 127.0.0.1:9001
  eventually 5 eval 'get dying.test >/dev/null; route_of ls | grep -E "^dying.test .* 1/2 " >/dev/null'
  get dying.test >/dev/null
  contains "$(route_of why dying.test)" 'Of its 2 backends 1 is alive:'
  contains "$(route_of why dying.test)" '  http://127.0.0.1:9009  dead'
}

removed() {
  some_routes
  is "one.test *.any.test" "$(route_of rm one.test '*.any.test' | xargs)"
  is "400 400" "$(code one.test) $(code x.any.test)"
  exits 1 route_of remove nobody.test filed.test
  contains "$said" 'there is no route for nobody.test'
  contains "$said" filed.test
  is 400 "$(code filed.test)" "the others are removed all the same"
  frontend of-redis.test 9001
  eventually 2 serves of-redis.test 9001
  MOST_LINES=1 refused 1 'not the admin API.s.*redis' route_of rm of-redis.test
  is 9001 "$(get of-redis.test)"
  contains "$(route_of ls)" redis
}

refusals() { # one sentence, and nothing has changed
  local before
  some_routes
  before=$(route_of ls -q)
  MOST_LINES=1 refused 1 'not a weight|no weight' route_of add x.test http://127.0.0.1:9001=heavy
  MOST_LINES=1 refused 1 'weight' route_of add x.test http://127.0.0.1:9001=1001
  MOST_LINES=1 refused 1 'weight' route_of add x.test http://127.0.0.1:9001=-1
  MOST_LINES=1 refused 1 'no address' route_of add x.test =5
  MOST_LINES=1 refused 1 'ftp://h' route_of add x.test ftp://h
  MOST_LINES=1 refused 1 'port' route_of add x.test http://h:99999
  MOST_LINES=1 refused 1 'nowhere.invalid' route_of add x.test http://nowhere.invalid
  MOST_LINES=1 refused 1 'no host name' route_of add 'a b' 127.0.0.1:9001
  MOST_LINES=1 refused 1 'no host name' route_of add '../../healthz' 127.0.0.1:9001
  MOST_LINES=1 refused 1 'no host name' route_of rm '?x'
  MOST_LINES=1 refused 1 'balance' route_of add x.test 127.0.0.1:9001 --balance best
  MOST_LINES=1 refused 1 'backend' route_of add x.test
  refused 125 'duration' route_of add x.test 127.0.0.1:9001 --health-interval soon
  refused 1 'requires' route_of add
  refused 1 'requires' route_of rm
  refused 1 'requires' route_of why
  is "$before" "$(route_of ls -q)"
}

not_there() { # of who answers there, if anybody
  MOST_LINES=1 refused 1 'Cannot connect to a proxy at http://127.0.0.1:7999' route_of ls --proxy http://127.0.0.1:7999
  MOST_LINES=1 refused 1 "Cannot connect to a proxy at unix://$work/none.sock" route_of ls --proxy "unix://$work/none.sock"
  MOST_LINES=1 BERTH_PROXY='' refused 1 'unix:///run/berth-proxy/admin.sock' route_of ls
  MOST_LINES=1 refused 1 'no address of a proxy' route_of ls --proxy 127.0.0.1:8001
  MOST_LINES=1 refused 1 'no address of a proxy' route_of ls --proxy ftp://x
  MOST_LINES=1 refused 1 "no proxy's admin API" route_of ls --proxy http://127.0.0.1:9001        # a web server
  MOST_LINES=1 refused 1 "no proxy's admin API" route_of ls --proxy http://127.0.0.1:9001/status/500
}

tokens_and_sockets() {
  proxy_start socket ".http.port = 8010 | .admin = {socket: \"$work/admin.sock\", token: \"sesame\"} | del(.driver, .store)"
  export BERTH_PROXY=unix://$work/admin.sock
  MOST_LINES=1 refused 1 'wants a token' route_of ls
  echo wrong >"$work/token"
  MOST_LINES=1 refused 1 'wants another token' route_of ls --token-file "$work/token"
  MOST_LINES=1 refused 1 'wants another token' route_of rm one.test two.test --token-file "$work/token"
  MOST_LINES=1 refused 1 'none.token' route_of ls --token-file "$work/none.token"
  printf 'two\nlines\n' >"$work/token" # it would be a field of its own
  MOST_LINES=1 refused 1 'control character' route_of ls --token-file "$work/token"
  echo sesame >"$work/token"
  is t.test "$(route_of add t.test 127.0.0.1:9001 --token-file "$work/token")"
  is t.test "$(BERTH_PROXY_TOKEN=sesame b route ls -q)"
  is t.test "$(BERTH_PROXY_TOKEN=sesame b route ls -q --proxy "unix://$work/admin.sock")"
  proxy_end socket
}

hostile_names() { # what others have put into routes does not write to a terminal
  redis rpush frontend:esc.test "$(printf 'id\033[31m')" http://127.0.0.1:9001 >/dev/null
  eventually 2 serves esc.test 9001
  lacks "$(route_of ls --format '{{.Host}} {{.ID}}')" $'\033'
  is 200 "$(put path.test '{"backends":["http://127.0.0.1:9001"],"health":{"path":"/\u001b[2J\u202e"}}')"
  lacks "$(route_of ls)" $'\033'
  lacks "$(route_of ls)" $'\u202e'
  lacks "$(route_of why path.test)" $'\033'
  is "/"$'\033'"[2J"$'\u202e' "$(route_of why path.test --format json | jq -r .route.health.path)" "as it is, where it is not shown"
}

help_and_completion() {
  contains "$(route_of 2>&1)" "Usage:  berth route COMMAND"
  contains "$(b --help)" "Manage routes of the load balancer"
  local verb
  for verb in add ls rm why; do
    contains "$(route_of --help)" "  $verb "
    contains "$(route_of $verb --help)" --proxy
    contains "$(route_of $verb --help)" --token-file
  done
  contains "$(route_of add --help)" replaced
  complete_line() { # word...: what the completion offers for the last one
    COMP_WORDS=(berth "$@") COMP_CWORD=$#
    _berth
    echo "${COMPREPLY[*]}"
  }
  some_routes
  source scripts/completion/berth.bash
  is "add ls rm why" "$(complete_line route '' | tr ' ' '\n' | sort | xargs)"
  contains "$(complete_line rou)" route
  contains "$(complete_line route add --)" --health-path
  contains "$(complete_line route rm "fi")" filed.test
}

backends_start 9001 9002 9003
redis_start
proxy_start main

proxy_case "nothing there" nothing_there
proxy_case "add: in force at once, and all of it" added
proxy_case "add --file" added_by_file
proxy_case "ls" listed
proxy_case "why" told_why
proxy_case "backends that are dead" told_of_the_dead
proxy_case "rm" removed
proxy_case "what is wrong is said in a sentence" refusals
proxy_case "who is not there" not_there
proxy_case "tokens and sockets" tokens_and_sockets
proxy_case "hostile names" hostile_names
proxy_case "help and completion" help_and_completion
proxy_finish
