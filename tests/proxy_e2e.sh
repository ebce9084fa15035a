#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The load balancer's routes: where they come from, whose hold, how they are changed, and that none is lost. And what its
# configuration may say.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"

# --- Redis ---

redis_changes() {
  frontend live.test 9001
  eventually 1 serves live.test 9001
  redis rpush frontend:live.test http://127.0.0.1:9002
  eventually 1 eval '[ "$(tally 12 live.test | wc -w)" = 2 ]'
  redis lrem frontend:live.test 0 http://127.0.0.1:9001
  eventually 1 eval '[ "$(tally 6 live.test)" = 9002:6 ]'
  frontend live.test 9003
  eventually 1 eval '[ "$(tally 6 live.test)" = 9003:6 ]'
  redis del frontend:live.test
  eventually 1 answers_with live.test 400
  frontend one.test 9001
  frontend other.test 9002
  eventually 1 serves other.test 9002
  redis rename frontend:one.test frontend:renamed.test
  eventually 1 serves renamed.test 9001
  is 400 "$(code one.test)"
  redis expire frontend:other.test 1
  eventually 3 answers_with other.test 400
  redis flushall
  eventually 1 answers_with renamed.test 400
  frontend after.test 9001
  eventually 1 serves after.test 9001
  redis flushall
}

redis_lookup() { # the most exact first; a port and capitals do not matter
  frontend '*' 9003
  frontend '*.wild.test' 9001
  frontend exact.wild.test 9002
  frontend '*.deep.wild.test' 9003
  eventually 1 serves x.deep.wild.test 9003
  is 9002 "$(get exact.wild.test)"
  is 9001 "$(get any.wild.test)"
  is 9001 "$(get a.b.wild.test)"
  is 9003 "$(get a.b.deep.wild.test)"
  is 9003 "$(get wild.test)" "*.wild.test is for what is below it"
  is 9003 "$(get nobody.test)"
  is 9002 "$(get EXACT.Wild.test:8000)"
  is 400 "$(code '' / --http1.0 -H 'Host;')"
  redis flushall
  eventually 1 answers_with nobody.test 400
}

redis_strange() { # what others write there harms nobody
  frontend good.test 9001
  redis set frontend:text.test nothing
  redis hset frontend:hash.test a b
  redis rpush frontend:alone.test id
  redis rpush frontend:nowhere.test id not-an-address
  redis rpush 'frontend:two words' id http://127.0.0.1:9001
  redis rpush frontend: id http://127.0.0.1:9001
  redis rpush frontend:mixed.test id ftp://127.0.0.1 http://127.0.0.1:99999 http://127.0.0.1:9002
  eventually 1 serves mixed.test 9002
  is 9001 "$(get good.test)"
  for host in text.test hash.test alone.test nowhere.test; do is 400 "$(code $host)" "$host"; done
  frontend UPPER.test 9001
  frontend last.test 9001
  eventually 1 serves last.test 9001
  local before
  before=$(code upper.test)
  proxy_end main
  proxy_again main
  eventually 2 followed
  eventually 2 serves good.test 9001
  is "$before" "$(code upper.test)" "a host in capitals, added to a running proxy ($before) and after a restart"
  redis del frontend:UPPER.test
  eventually 1 answers_with upper.test 400
  redis flushall
  eventually 1 answers_with good.test 400
}

redis_elsewhere() { # a password, a database, a prefix; with characters that a pattern would take for its own
  redis_start 6380 --requirepass 'se:cr@t'
  export REDISCLI_AUTH=se:cr@t REDIS_PORT=6380
  proxy_end main
  proxy_start placed '.driver = "redis://:se:cr@t@127.0.0.1:6380/3#mine:"'
  redis -n 3 rpush mine:frontend:placed.test id http://127.0.0.1:9001
  redis -n 3 rpush frontend:no-prefix.test id http://127.0.0.1:9001
  redis -n 0 rpush mine:frontend:other-database.test id http://127.0.0.1:9001
  eventually 2 serves placed.test 9001
  is "400 400" "$(code no-prefix.test) $(code other-database.test)"
  redis -n 3 rpush mine:frontend:placed.test http://127.0.0.1:1
  eventually 3 eval '[ "$(get placed.test; redis -n 3 exists mine:dead:placed.test)" = 90011 ]'
  proxy_end placed
  redis -n 0 rpush 'x[1]*:frontend:pattern.test' id http://127.0.0.1:9002
  redis -n 0 rpush 'x1:frontend:taken-for-it.test' id http://127.0.0.1:9002
  proxy_start pattern '.driver = "redis://:se:cr@t@127.0.0.1:6380#x[1]*:"'
  eventually 2 serves pattern.test 9002
  is 400 "$(code taken-for-it.test)"
  proxy_end pattern
  proxy_start wrong '.driver = "redis://:wrong@127.0.0.1:6380" | .server.workers = 1'
  eventually 2 grep -q 'WRONGPASS\|invalid password' "$work/wrong.log"
  at_most 2 "$(grep -c pass "$work/wrong.log")" "lines about it"
  proxy_end wrong
  redis_end 6380
  unset REDISCLI_AUTH REDIS_PORT
  proxy_again main
}

deaths() { # told to the others, and believed of them
  local seen
  timeout 20 redis-cli subscribe dead >"$work/deaths" &
  seen=$!
  frontend dying.test 9001 9009 # nobody is at 9009
  eventually 2 eval '[ "$(get dying.test; redis exists dead:dying.test)" = 90011 ]'
  is 1 "$(redis smembers dead:dying.test)"
  [[ $(redis ttl dead:dying.test) =~ ^[12]$ ]]
  eventually 2 grep -qx 'dying.test;http://127.0.0.1:9009;1;2' "$work/deaths"
  eventually 4 eval '[ "$(redis exists dead:dying.test)" = 0 ]'
  kill $seen
  frontend told.test 9001 9002
  eventually 2 serves told.test 9002
  eventually 2 eval 'redis publish dead "told.test;http://127.0.0.1:9001;0;2" >/dev/null; [ "$(tally 8 told.test)" = 9002:8 ]'
  eventually 4 eval '[ "$(tally 12 told.test | wc -w)" = 2 ]' # its time over, it is tried again
  redis publish dead 'told.test;http://127.0.0.1:9009;0;2'
  redis publish dead 'nobody.test;http://127.0.0.1:9001;0;2'
  redis publish dead ';;;;'
  redis publish dead "$(head -c 100000 /dev/zero | tr '\0' ';')"
  frontend only.test 9001
  eventually 2 serves only.test 9001
  redis publish dead 'only.test;http://127.0.0.1:9001;0;1'
  is 9001:3 "$(tally 3 only.test)" "the only one is not believed to be dead"
  redis flushall
}

without_tracking() { # what was named so that it cannot be asked for
  redis_start 6381 --rename-command "$1" ''
  proxy_end main
  proxy_start old '.driver = "redis://127.0.0.1:6381" | del(.store)'
  export REDIS_PORT=6381
  frontend old.test 9001
  eventually 3 serves old.test 9001
  frontend old.test 9002
  eventually 3 serves old.test 9002
  redis rpush frontend:old.test http://127.0.0.1:1
  eventually 5 eval '[ "$(get old.test; redis exists dead:old.test)" = 90021 ]'
  redis flushall
  eventually 3 answers_with old.test 400
  proxy_end old
  redis_end 6381
  unset REDIS_PORT
  proxy_again main
}

redis_away() {
  local old
  frontend stays.test 9001
  frontend goes.test 9001
  eventually 2 serves goes.test 9001
  redis_end
  eventually 2 connected 0
  is "9001 9001" "$(get stays.test) $(get goes.test)"
  proxy_end main 9
  proxy_again main
  is "9001 9001" "$(get stays.test) $(get goes.test)" "the last good routes, over a kill, without Redis"
  proxy_end main
  proxy_again main
  is 9001 "$(get stays.test)"
  redis_start # empty: a moment in which nothing may be left of the old
  eventually 4 answers_with goes.test 400
  frontend stays.test 9002
  frontend new.test 9003
  eventually 1 serves new.test 9003
  is 9002 "$(get stays.test)"
  redis_end
  redis_start 6380
  REDIS_PORT=6380 frontend back.test 9001
  redis_end 6380
  redis_start
  frontend back.test 9002 # before the proxy looks
  eventually 4 serves back.test 9002
  is "400 400" "$(code stays.test) $(code new.test)"
  redis flushall
  proxy_end main
  old=$(tail -n 3 "$work/main.log")
  proxy_again main
  lacks "$old" terminate
}

redis_vanished() { # the host is gone, without a word: its packets go nowhere
  redis_start 6382
  proxy_end main
  proxy_start lost '.driver = "redis://127.0.0.1:6382" | del(.store)'
  REDIS_PORT=6382 frontend lost.test 9001
  eventually 2 serves lost.test 9001
  kill -STOP "$(cat "$work/redis.6382.pid")"
  eventually 25 connected 0
  is 9001 "$(get lost.test)"
  kill -CONT "$(cat "$work/redis.6382.pid")"
  REDIS_PORT=6382 frontend lost.test 9002
  eventually 5 serves lost.test 9002
  redis_end 6382
  proxy_end lost
  proxy_again main
}

# --- the admin API ---

admin_routes() {
  is 200 "$(put one.test '{"backends":["http://127.0.0.1:9001",{"url":"http://127.0.0.1:9002","weight":3}],"id":"first"}')"
  describes '.host == "one.test" and .source == "admin" and .id == "first" and .backends[1].weight == 3 and .backends[0].alive'
  is 200 "$(admin GET /v1/routes/ONE.test)"
  describes '.backends | length == 2'
  route two.test 9002
  is 200 "$(admin GET /v1/routes)"
  describes 'map(.host) == ["one.test", "two.test"]'
  is 9002 "$(get two.test)"
  route two.test 9003
  is 9003 "$(get two.test)" "at once"
  is 200 "$(put '%2A.any.test' '{"backends":["http://127.0.0.1:9001"]}')"
  is 200 "$(put '*' '{"backends":["http://127.0.0.1:9003"]}')"
  is "9001 9003" "$(get x.any.test) $(get any.test)"
  is 200 "$(admin GET '/v1/why?url=http://x.any.test:80/some?thing')"
  describes '.host == "x.any.test" and .route.host == "*.any.test" and (.because | test("wildcard"))'
  is 200 "$(admin GET '/v1/why?url=https://two.test')"
  describes '.route.host == "two.test" and (.because | test("own"))'
  is 204 "$(admin DELETE '/v1/routes/*')"
  is 200 "$(admin GET '/v1/why?url=nobody.test')"
  describes '.route == null and (.because | test("no route"))'
  is 204 "$(admin DELETE /v1/routes/%2a.any.test)"
  is "400 400" "$(code x.any.test) $(code any.test)"
  is 204 "$(admin DELETE /v1/routes/one.test)"
  is 204 "$(admin DELETE /v1/routes/two.test)"
  is 404 "$(admin DELETE /v1/routes/two.test)"
  describes '.message == "there is no route for two.test"'
  is 404 "$(admin GET /v1/routes/two.test)"
}

wrong_route() { # regex document
  is 400 "$(put wrong.test "$2")" "status for $2"
  describes ".message | test(\"$1\")"
}
admin_refusals() {
  local host
  wrong_route 'the route' '{bad'
  wrong_route 'the route' ''
  wrong_route 'backends' '{}'
  wrong_route 'backends' '{"backends":[]}'
  wrong_route 'backends' '{"backends":"http://127.0.0.1:9001"}'
  wrong_route 'backends.0.' '{"backends":[5]}'
  wrong_route 'not-a-url' '{"backends":["not-a-url"]}'
  wrong_route 'ftp://h' '{"backends":["ftp://h"]}'
  wrong_route 'port' '{"backends":["http://h:0"]}'
  wrong_route 'port' '{"backends":["http://h:65536"]}'
  wrong_route 'no host' '{"backends":["http://:80"]}'
  wrong_route 'more than an address' '{"backends":["http://user@h"]}'
  wrong_route 'more than an address' '{"backends":["http://127.0.0.1:80/\r\nX: y"]}'
  wrong_route 'nowhere.invalid' '{"backends":["http://nowhere.invalid"]}'
  wrong_route 'weight' '{"backends":[{"url":"http://127.0.0.1:9001","weight":1001}]}'
  wrong_route 'weight' '{"backends":[{"url":"http://127.0.0.1:9001","weight":-1}]}'
  wrong_route 'balance' '{"backends":["http://127.0.0.1:9001"],"balance":"best"}'
  wrong_route 'sticky' '{"backends":["http://127.0.0.1:9001"],"sticky":"yes"}'
  wrong_route 'health.path' '{"backends":["http://127.0.0.1:9001"],"health":{"path":"x"}}'
  wrong_route 'health.interval_ms' '{"backends":["http://127.0.0.1:9001"],"health":{"interval_ms":1}}'
  is 404 "$(admin GET /v1/routes/wrong.test)" "nothing of it holds"
  for host in a%20b a%2Fb '%zz' 'a%00b' '**' '*x' 'x.*' '*.' "$(head -c 300 /dev/zero | tr '\0' a)"; do
    is 400 "$(put "$host" '{"backends":["http://127.0.0.1:9001"]}')" "status for the host $host"
    describes '.message | length > 0'
  done
  is 400 "$(admin PUT /v1/routes/big.test --data-binary "{\"backends\":[$(printf '"http://127.0.0.1:9001",%.0s' {1..1001})\"http://127.0.0.1:9001\"]}")"
  describes '.message | test("1000")'
  is 405 "$(admin POST /v1/routes/x.test -d '{}')"
  is 405 "$(admin DELETE /v1/routes)"
  is 404 "$(admin GET /v1/nothing)"
  is 400 "$(admin GET /v1/why)"
  is 400 "$(admin PUT /v1/engine -d '{"engine":"ftp://x"}')"
  describes '.message | test("engine")'
  is 200 "$(admin GET /v1/engine)"
  describes '.engine == ""'
}

others_routes() { # the admin API's go first, the file's next; nobody deletes another's
  echo '{"routes":{"of-file.test":{"backends":["http://127.0.0.1:9002"]},"all.test":{"backends":["http://127.0.0.1:9002"],"id":"f"}}}' >"$work/routes.json"
  frontend all.test 9003
  frontend of-redis.test 9003
  proxy_end main
  proxy_start main ".routes = \"$work/routes.json\""
  eventually 2 serves of-redis.test 9003
  is "9002 9002" "$(get of-file.test) $(get all.test)"
  is 400 "$(admin DELETE /v1/routes/of-file.test)"
  describes '.message | test("file")'
  is 400 "$(admin DELETE /v1/routes/of-redis.test)"
  describes '.message | test("redis")'
  route all.test 9001
  is 9001 "$(get all.test)"
  frontend all.test 9002 9003
  frontend of-redis.test 9002
  eventually 2 serves of-redis.test 9002
  is 9001 "$(get all.test)"
  is 200 "$(admin GET /v1/routes/all.test)"
  describes '.source == "admin"'
  is 204 "$(admin DELETE /v1/routes/all.test)"
  is 9002 "$(get all.test)" "the file's is behind it"
  is 200 "$(admin GET /v1/routes)"
  describes 'map({(.host): .source}) | add == {"all.test": "file", "of-file.test": "file", "of-redis.test": "redis"}'
  proxy_end main
  proxy_start main
  eventually 2 eval '[ "$(tally 12 all.test | wc -w)" = 2 ]' # Redis'
  redis flushall
  eventually 2 answers_with all.test 400
}

admin_doors() { # a unix socket for its owner alone; a token
  proxy_start socket ".http.port = 8010 | .admin = {socket: \"$work/admin.sock\", token: \"sesame\"} | del(.driver, .store)"
  local ask=(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$work/admin.sock")
  is 600 "$(stat -c %a "$work/admin.sock")"
  is 401 "$("${ask[@]}" http://x/v1/routes)"
  is 401 "$("${ask[@]}" -H 'Authorization: Bearer sesam' http://x/v1/routes)"
  is 401 "$("${ask[@]}" -H 'Authorization: Bearer sesamee' http://x/metrics)"
  is 401 "$("${ask[@]}" -X PUT -d '{"backends":["http://127.0.0.1:9001"]}' http://x/v1/routes/x.test)"
  is 200 "$("${ask[@]}" http://x/healthz)"
  is 200 "$("${ask[@]}" -H 'Authorization: Bearer sesame' -X PUT -d '{"backends":["http://127.0.0.1:9001"]}' http://x/v1/routes/x.test)"
  is 200 "$("${ask[@]}" -H 'Authorization: Bearer sesame' http://x/metrics)"
  proxy_end socket 9
  proxy_again socket # over the file that was left there
  is 200 "$("${ask[@]}" http://x/healthz)"
  is 400 "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: x.test' http://127.0.0.1:8010/)" "without a store nothing is kept"
  proxy_end socket
}

admin_durable() { # round
  local journal=$work/journal.$1 maker
  python3 "$helpers/changes.py" make "$journal" 100000 &
  maker=$!
  eventually 10 longer_than 300 "$journal"
  sleep "0.$((RANDOM % 5))"
  proxy_end main 9
  kill $maker
  wait $maker || true
  is ok "$(sqlite_check)"
  proxy_again main
  python3 "$helpers/changes.py" check "$journal"
}
sqlite_check() { python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("pragma integrity_check").fetchone()[0])' "$work/main.store"; }

engine_labels() { # containers by their labels, behind all others
  engine_start engine
  image_make
  proxy_end main
  proxy_start main
  is 200 "$(admin PUT /v1/engine -d "{\"engine\":\"$BERTH_HOST\"}")"
  describes ".engine == \"$BERTH_HOST\""
  b run -d --name labelled --hostname labelled -l berth.route.host=lab.test,second.test box sh -c "$web"
  eventually 5 serves lab.test labelled
  eventually 5 serves second.test labelled
  b run -d --name twin --hostname twin -l berth.route.host=lab.test -l berth.route.port=81 box sh -c "${web/80/81}"
  eventually 5 eval '[ "$(tally 12 lab.test | wc -w)" = 2 ]'
  is 400 "$(admin DELETE /v1/routes/lab.test)"
  describes '.message | test("engine")'
  route lab.test 9001
  is 9001 "$(get lab.test)"
  is 204 "$(admin DELETE /v1/routes/lab.test)"
  b stop -t 0 twin
  eventually 5 eval '[ "$(tally 6 lab.test)" = labelled:6 ]'
  b run -d --name part --hostname part -l berth.route.host=lab.test -l berth.route.path=/part -l berth.route.port=82 \
    box sh -c "mkdir -p /tmp/part && hostname >/tmp/part/index.html && exec httpd -f -p 82 -h /tmp"
  eventually 5 serves lab.test part /part/
  is labelled "$(get lab.test /)"
  b run -d --name safe --hostname safe -l berth.route.host=safe.test -l berth.route.tls=true box sh -c "$web"
  eventually 5 answers_with safe.test 308
  is 200 "$(admin GET /v1/routes/lab.test)"
  describes '.paths."/part".backends | length == 1'
  b run -d --name wrong -l berth.route.host=wrong.test -l berth.route.port=http box sleep 100
  eventually 5 eval 'grep "berth.route.port is \"http\"" "$work/main.log" >/dev/null'
  is 200 "$(code lab.test)"
  b rm -f part safe wrong
  b rm -f labelled twin
  eventually 5 answers_with lab.test 400
  is 200 "$(admin PUT /v1/engine -d '{"engine":""}')"
}

named_backends() { # names are looked up again; one that is not known yet loses no route
  printf '127.0.0.1 localhost\n127.0.0.1 moves.test\n' >"$work/hosts"
  configuration named '.http.port = 8060 | .admin.port = 8061 | del(.driver)' >/dev/null
  # shellcheck disable=SC2016 # for the inner shell
  local start='mount --make-rprivate / && mount --bind "$0/hosts" /etc/hosts && exec berth-proxy -c "$0/named.json"'
  named() { curl -s --max-time 5 -H 'Host: named.test' "$@" http://127.0.0.1:8060/; }
  setsid unshare -m sh -c "$start" "$work" >>"$work/named.log" 2>&1 &
  eventually 5 answers 8060
  put_named() { curl -s -o "$work/answer" -w '%{http_code}' -X PUT -d "$1" http://127.0.0.1:8061/v1/routes/named.test; }
  is 400 "$(put_named '{"backends":["http://nobody.test:9001"]}')"
  describes '.message | test("nobody.test")'
  is 200 "$(put_named '{"backends":["http://moves.test:9001"]}')"
  is 9001 "$(named)"
  printf '127.0.0.1 localhost\n10.99.0.2 moves.test\n' >"$work/hosts"
  eventually 15 eval '[ "$(named -o /dev/null -w "%{http_code}" --max-time 1 || true)" != 200 ]'
  printf '127.0.0.1 localhost\n127.0.0.1 moves.test\n' >"$work/hosts"
  eventually 20 eval '[ "$(named)" = 9001 ]'
  # It starts while the name is not known, and the stored route is there when it comes to be.
  printf '127.0.0.1 localhost\n' >"$work/hosts"
  local pid
  pid=$(successor_of named)
  kill -9 "$pid"
  eventually 5 gone "$pid"
  setsid unshare -m sh -c "$start" "$work" >>"$work/named.log" 2>&1 &
  eventually 5 answers 8060
  is 502 "$(named -o /dev/null -w '%{http_code}')"
  printf '127.0.0.1 localhost\n127.0.0.1 moves.test\n' >"$work/hosts"
  eventually 5 eval '[ "$(named)" = 9001 ]'
}

silent_names() { # a name server that says nothing holds up neither the start, nor other routes, nor the end
  local number pid
  socat -u UDP4-RECV:53,bind=127.0.0.53 /dev/null &
  local silent=$!
  printf 'nameserver 127.0.0.53\noptions timeout:5 attempts:2\n' >"$work/resolv.conf"
  configuration silent '.http.port = 8070 | .admin.port = 8071' >/dev/null
  for number in {1..12}; do redis rpush "frontend:slow$number.test" id "http://slow$number.test:9001"; done
  # shellcheck disable=SC2016 # for the inner shell
  setsid unshare -m sh -c 'mount --make-rprivate / && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec berth-proxy -c "$0/silent.json"' \
    "$work" >>"$work/silent.log" 2>&1 &
  eventually 3 answers 8070
  pid=$(successor_of silent)
  quick() { [ "$(curl -s --max-time 5 -H "Host: $1" http://127.0.0.1:8070/)" = "$2" ]; }
  frontend quick.test 9001
  eventually 3 quick quick.test 9001
  put_silent() { curl -s -o "$work/answer.$1" -w '%{http_code}' -X PUT -d "{\"backends\":[\"$2\"]}" "http://127.0.0.1:8071/v1/routes/$1"; }
  put_silent never.test http://never.test:9001 >"$work/never" &
  local asking=$! before=$SECONDS
  is 200 "$(put_silent soon.test http://127.0.0.1:9002)"
  quick soon.test 9002
  at_most 3 $((SECONDS - before))
  wait "$asking" # it is told, when the resolver has given up
  is 400 "$(cat "$work/never")"
  contains "$(cat "$work/answer.never.test")" 'never.test:9001'
  redis flushall
  redis rpush frontend:again.test id http://again.test:9001
  kill -TERM "$pid"
  eventually 3 gone "$pid"
  kill "$silent"
  redis flushall
}

# --- configurations ---

wrong() { # regex 'jq patch': refused with the file and what is wrong, by -t and by a start
  local file
  echo "for $2:"
  file=$(configuration wrong ".http.port = 8040 | .admin.port = 8041 | $2")
  MOST_LINES=1 refused 1 "wrong\.json.*$1" timeout 10 berth-proxy -t -c "$file"
  MOST_LINES=1 refused 1 "wrong\.json.*$1" timeout 10 berth-proxy -c "$file"
}
wrong_configurations() {
  wrong 'server.workers must be' '.server.workers = 0'
  wrong 'server.workers must be' '.server.workers = 257'
  wrong 'server.workers must be' '.server.workers = "two"'
  wrong 'server.workers must be' '.server.workers = -1'
  wrong 'server.retryOnError' '.server.retryOnError = 101'
  wrong 'server.deadBackendTTL' '.server.deadBackendTTL = 0'
  wrong 'server.deadBackendTTL' '.server.deadBackendTTL = "soon"'
  wrong 'server.tcpTimeout' '.server.tcpTimeout = -3'
  wrong 'server.tcpTimeout' '.server.tcpTimeout = 1e300'
  wrong 'server.accessLog' '.server.accessLog = 5'
  wrong 'server.staticDir' '.server.staticDir = ["x"]'
  wrong 'server.httpKeepAlive' '.server.httpKeepAlive = "yes"'
  wrong 'server must be' '.server = "x"'
  wrong 'http.port' '.http.port = 0'
  wrong 'http.port' '.http.port = 65536'
  wrong 'http.port' '.http.port = "80"'
  wrong 'http.bind' '.http.bind = "localhost"'
  wrong 'http.bind' '.http.bind = 5'
  wrong 'http must be' '.http = [8000]'
  wrong 'http or https' 'del(.http)'
  wrong 'https.cert' '.https = {port: 8443}'
  wrong 'https.key' '.https = {port: 8443, cert: "/x"}'
  wrong 'driver' '.driver = "memcached://127.0.0.1"'
  wrong 'driver' '.driver = "redis://127.0.0.1:99999"'
  wrong 'driver' '.driver = "redis://127.0.0.1/two"'
  wrong 'driver' '.driver = "redis+unix://relative"'
  wrong 'driver' '.driver = 5'
  wrong 'admin.port' '.admin = {}'
  wrong 'admin.port' '.admin.port = 65536'
  wrong 'admin.bind' '.admin.bind = "0.0.0.0"'
  wrong 'admin.bind' '.admin.bind = "127.evil.example"'
  wrong 'trustedProxies' '.trustedProxies = "10.0.0.0/33"'
  wrong 'trustedProxies' '.trustedProxies = ["10.0.0.0/8", "anybody"]'
  wrong 'trustedProxies' '.trustedProxies = {}'
  wrong 'store' '.store = 5'
  wrong 'user' '.user = 5'
  wrong 'engine' '.engine = "ftp://x"'
  wrong 'must be a JSON object' '[]'
  wrong 'must be a JSON object' '"text"'
  printf '{"http": {' >"$work/wrong.json"
  MOST_LINES=1 refused 1 'wrong\.json' berth-proxy -t -c "$work/wrong.json"
  : >"$work/wrong.json"
  MOST_LINES=1 refused 1 'wrong\.json' berth-proxy -t -c "$work/wrong.json"
  MOST_LINES=1 refused 1 'missing\.json' berth-proxy -t -c "$work/missing.json"
  refused 0 "wrong\.json.* good" berth-proxy -t -c "$(configuration wrong '.unheard = 1 | .server.unheard = 2')"
  contains "$said" 'unheard means nothing'
  contains "$said" 'server.unheard means nothing'
  answers # the one that runs meanwhile is not disturbed
}

unusable() { # regex 'jq patch'
  local file
  file=$(configuration unusable ".http.port = 8020 | .admin.port = 8021 | $2")
  MOST_LINES=1 refused 1 "$1" timeout 10 berth-proxy -c "$file"
  [ "${TESTED:-yes}" = no ] || MOST_LINES=1 refused 1 "$1" timeout 10 berth-proxy -t -c "$file"
}
unusable_configurations() { # good as text: what it names is not there
  echo '{"routes":{"x.test":{"backends":["nothing"]}}}' >"$work/bad-routes.json"
  unusable 'https.*nowhere.pem' ".https = {port: 8022, cert: \"$work/nowhere.pem\", key: \"$work/tls/key.pem\"}"
  unusable 'https.*key.*other.pem' ".https = {port: 8022, cert: \"$work/tls/cert.pem\", key: \"$work/tls/other.pem\"}"
  unusable 'server.staticDir.*nowhere' ".server.staticDir = \"$work/nowhere\""
  unusable 'routes.*nowhere' ".routes = \"$work/nowhere.json\""
  unusable 'bad-routes.json.*nothing' ".routes = \"$work/bad-routes.json\""
  unusable 'user.*nobody-of-that-name' '.user = "nobody-of-that-name"'
  unusable 'group.*nobody-of-that-name' '.group = "nobody-of-that-name"'
  TESTED=no unusable 'server.accessLog.*nowhere' ".server.accessLog = \"$work/nowhere/log\""
  TESTED=no unusable 'store.*nowhere' ".store = \"$work/nowhere/store\""
}

taken_ports() {
  local listener
  socat -u TCP-LISTEN:8030,bind=127.0.0.1,fork /dev/null &
  listener=$!
  eventually 5 eval 'ss -Hltn sport = :8030 | grep . >/dev/null'
  TESTED=no unusable '127.0.0.1.*8030' '.http.port = 8030'
  TESTED=no unusable '0.0.0.0.*8030' '.http = {port: 8030, bind: "0.0.0.0"}'
  TESTED=no unusable '8030' '.admin.port = 8030'
  kill $listener
  TESTED=no unusable '127.0.0.1.*8000' '.http.port = 8000' # a second proxy
  TESTED=no unusable '8000' '.http = {port: 8000, bind: "127.0.0.1"} | del(.admin, .store, .driver)'
  TESTED=no unusable '0.0.0.0.*8000' '.http = {port: 8000, bind: "0.0.0.0"} | del(.admin)'
  TESTED=no unusable '8001' '.admin.port = 8001'
  answers
}

certificate "$work/tls" default.test
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$work/tls/other.pem" 2>/dev/null
backends_start 9001 9002 9003
backends_start 9004
redis_start

proxy_case "Redis: every change is live" redis_changes
proxy_case "Redis: exact, wildcard, default" redis_lookup
proxy_case "Redis: what others write there" redis_strange
proxy_case "Redis: a password, a database, a prefix" redis_elsewhere
proxy_case "Redis: deaths are told and believed" deaths
proxy_case "Redis without HELLO is looked at each second" without_tracking HELLO
proxy_case "Redis without CLIENT is looked at each second" without_tracking CLIENT
proxy_case "Redis: away at the start, away and back" redis_away
proxy_case "Redis: vanished without a word" redis_vanished
proxy_case "admin: routes" admin_routes
proxy_case "admin: refusals" admin_refusals
proxy_case "admin: whose routes go first, and whose are whose" others_routes
proxy_case "admin: a unix socket, a token" admin_doors
for round in 1 2 3; do proxy_case "admin: kill -9 in a stream of changes, round $round" admin_durable "$round"; done
proxy_case "routes of containers" engine_labels
proxy_case "backends by name" named_backends
proxy_case "Names: a silent name server" silent_names
proxy_case "configurations that are wrong" wrong_configurations
proxy_case "configurations that name what is not there" unusable_configurations
proxy_case "ports that are taken" taken_ports
proxy_finish
