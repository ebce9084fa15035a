#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The load balancer's page in a browser, the part of its API that the page stands on, and who may ask for either. PICTURES=DIR
# keeps pictures of the page there.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"

export SLOWNESS=$slowness WORK=$work
browse() { # [option...] URL step...: as tests/proxy/browser.py
  command -v chromium-headless-shell chromium >/dev/null || skip "there is no browser (scripts/setup test)"
  timeout $((120 * slowness)) python3 "$helpers/browser.py" "$@"
}
page=$api/
# What the page's cells say, as JavaScript.
rows() { echo "[...document.querySelectorAll('#$1 tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"; } # table
row_of() { echo "($(rows "$1")).find(row => row[0] === '$2')"; }                                                          # table name
is_live="document.getElementById('state').textContent === 'live'"
keep_asking() { # host...: until its process is ended, some twenty requests a second
  local host end=$((SECONDS + 200))
  while [ $SECONDS -lt $end ]; do
    for host in "$@"; do get "$host" >/dev/null || true; done
    sleep 0.05
  done
}

# --- pages of the list -----------------------------------------------------------------------------------------------

some_routes() { # count
  local number
  for number in $(seq -w 1 "$1"); do echo "site$number.test"; done >"$work/hosts"
  jq -Rn '{routes: [inputs | {(.): {backends: ["http://127.0.0.1:9001"]}}] | add}' "$work/hosts" >"$work/routes.json"
  proxy_end main
  proxy_start main ".routes = \"$work/routes.json\""
}

list_in_pages() {
  some_routes 25
  is 200 "$(admin GET '/v1/routes?limit=10')"
  describes '(.routes | length) == 10 and .matching == 25 and .all == 25 and .next == "site10.test" and .routes[0].host == "site01.test"'
  is 200 "$(admin GET '/v1/routes?limit=10&after=site10.test')"
  describes '.routes[0].host == "site11.test" and .next == "site20.test" and .matching == 25'
  is 200 "$(admin GET '/v1/routes?limit=10&after=site20.test')"
  describes '(.routes | map(.host) | last) == "site25.test" and has("next") == false'
  is 200 "$(admin GET '/v1/routes?limit=25')"
  describes '(.routes | length) == 25 and has("next") == false'
  is 200 "$(admin GET '/v1/routes?prefix=SITE2')"
  describes '.matching == 6 and .all == 25 and .routes[0].host == "site20.test" and .routes[0].backends[0].alive'
  is 200 "$(admin GET '/v1/routes?contains=5.te')"
  describes '.routes | map(.host) == ["site05.test", "site15.test", "site25.test"]'
  is 200 "$(admin GET '/v1/routes?after=zzz')"
  describes '.routes == [] and .matching == 25'
  route dead.test 9001 9009
  eventually 5 eval 'get dead.test >/dev/null; admin GET "/v1/routes?dead=true" >/dev/null; jq -e ".matching == 1" "$work/answer" >/dev/null'
  describes '.routes | map(.host) == ["dead.test"]'
  is 200 "$(admin GET /v1/routes)"
  describes 'type == "array" and length == 26'
  local wrong
  for wrong in limit=0 limit=1001 limit=-1 limit=x limit= dead=maybe nothing=1; do
    is 400 "$(admin GET "/v1/routes?$wrong")" "status for $wrong"
    describes '.message | length > 10'
  done
}

every_page_once() { # also while routes change around it
  some_routes 1234
  local after='' all=() found
  while :; do
    admin GET "/v1/routes?limit=100&after=$after" >/dev/null
    mapfile -t found < <(jq -r '.routes[].host' "$work/answer")
    all+=("${found[@]}")
    after=$(jq -r '.next // empty' "$work/answer")
    [ -n "$after" ] || break
  done
  is "$(sha256sum <"$work/hosts")" "$(printf '%s\n' "${all[@]}" | sha256sum)"
}

# --- who may ask -----------------------------------------------------------------------------------------------------

asks_as() { # status method host-field [curl argument...]
  is "$1" "$(curl -s -o "$work/answer" -w '%{http_code}' -X "$2" -H "Host: $3" "${@:4}" "$api/v1/routes/victim.test")" "$2 as $3 ${*:4}"
}
rebinding() { # a name that means this machine, all of a sudden
  local new=(--data-binary '{"backends":["http://127.0.0.1:9003"]}') host site origin
  route victim.test 9001
  for host in evil.test evil.test:8001 127.0.0.1.evil.test localhost.evil.test:8001 '[::1].evil.test' 0.0.0.0:8001 127.0.0.2:8001 '' localhost. '[::1'; do
    asks_as 403 PUT "$host" "${new[@]}"
    describes '.message | length > 10'
    asks_as 403 DELETE "$host"
    asks_as 403 GET "$host"
    is 403 "$(curl -s -o /dev/null -w '%{http_code}' -H "Host: $host" "$api/metrics")"
    is 403 "$(curl -s -o /dev/null -w '%{http_code}' -H "Host: $host" "$api/")"
  done
  for host in localhost localhost:8001 LocalHost:8001 127.0.0.1 127.0.0.1:8001 '[::1]:8001'; do asks_as 200 GET "$host"; done
  for origin in http://evil.test null http://localhost:3000 https://localhost:8001 http://127.0.0.1:8001 http://localhost:8001.evil.test; do
    asks_as 403 PUT localhost:8001 -H "Origin: $origin" "${new[@]}"
    asks_as 403 DELETE localhost:8001 -H "Origin: $origin"
    asks_as 403 POST localhost:8001 -H "Origin: $origin" "${new[@]}"
  done
  for site in cross-site same-site; do asks_as 403 PUT localhost:8001 -H "Sec-Fetch-Site: $site" "${new[@]}"; done
  is 403 "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Host: localhost:8001' -H 'Origin: http://evil.test' -d '{"engine":""}' "$api/v1/engine")"
  is 9001 "$(get victim.test)" "nothing was changed"
  asks_as 200 PUT localhost:8001 -H 'Origin: http://localhost:8001' -H 'Sec-Fetch-Site: same-origin' "${new[@]}"
  is 9003 "$(get victim.test)"
}
rebinding_by_a_browser() { # evil.test means 127.0.0.1 there
  put_from() { # page target [option...]: the status that JavaScript of that page gets; of its complaints some are meant
    local script="fetch('$2', {method: 'PUT', body: '{\"backends\":[\"http://127.0.0.1:9003\"]}'}).then(answer => answer.status, () => 'refused')"
    browse --map evil.test "$1" "show:$script" 2>/dev/null || true
  }
  route victim.test 9001
  is 403 "$(put_from http://evil.test:8001/ /v1/routes/victim.test)" "a page of a name that means this machine now"
  is refused "$(put_from http://evil.test:9001/ "$api/v1/routes/victim.test")" "a page from elsewhere"
  is refused "$(put_from http://127.0.0.1:9001/ "$api/v1/routes/victim.test")" "a page of another port here"
  is 9001 "$(get victim.test)" "nothing was changed"
  is 200 "$(put_from "$page" /v1/routes/victim.test)" "its own page"
  is 9003 "$(get victim.test)"
}
other_doors() { # a unix socket is nothing that a page can reach, and a token nothing that it knows
  proxy_start socket ".http.port = 8010 | .admin = {socket: \"$work/admin.sock\"} | del(.driver, .store)"
  is 200 "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$work/admin.sock" -H 'Origin: http://elsewhere.test' \
    -X PUT -d '{"backends":["http://127.0.0.1:9001"]}' http://any.name/v1/routes/x.test)"
  proxy_end socket
  proxy_start token '.http.port = 8010 | .admin = {port: 8011, token: "sesame"} | del(.driver, .store)'
  is 200 "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: proxy.example' -H 'Authorization: Bearer sesame' http://127.0.0.1:8011/v1/routes)"
  is 401 "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: proxy.example' http://127.0.0.1:8011/v1/routes)"
  proxy_end token
}
head_of_the_page() {
  curl -s -D "$work/head" -o "$work/page" "$page"
  local policy
  policy=$(tr -d '\r' <"$work/head" | sed -n 's/^Content-Security-Policy: //pI')
  contains "$policy" "default-src 'none'; script-src 'sha256-"
  contains "$policy" "frame-ancestors 'none'"
  lacks "$policy" unsafe
  lacks "$policy" '*'
  grep -i '^X-Frame-Options: DENY' "$work/head"
  grep -i '^X-Content-Type-Options: nosniff' "$work/head"
  fails grep -E ' on[a-z]+=|style=|(src|href)="[^d]|https?://[^w]' "$work/page"
  fails grep -E 'innerHTML|outerHTML|insertAdjacent|document\.write|eval\(' "$work/page"
  is 404 "$(curl -s -o /dev/null -w '%{http_code}' "$api/index.html")"
}

# --- the page --------------------------------------------------------------------------------------------------------

picture() { [ -z "${PICTURES:-}" ] && echo true || echo "picture:$PICTURES/$1.png"; } # name: a step that takes one
shows_routes() {
  route one.test 9001 9002
  route two.test 9003
  is 200 "$(put three.test '{"backends":["http://127.0.0.1:9001"],"sticky":true,"balance":"hash","id":"web"}')"
  browse "$page" "$is_live" "($(rows routes)).map(row => row[0]).join() === 'one.test,three.test,two.test'" \
    "($(row_of routes one.test))[1] === 'admin' && ($(row_of routes one.test))[2] === '2/2'" \
    "($(row_of routes three.test))[7] === 'balance=hash, sticky'" \
    "($(rows backends)).length === 3 && ($(rows backends)).every(row => row[1] === 'alive')" \
    "run:curl -sf -X PUT -d '{\"backends\":[\"http://127.0.0.1:9002\"]}' $api/v1/routes/later.test >/dev/null" \
    "$(row_of routes later.test)" \
    "run:curl -sf -X DELETE $api/v1/routes/one.test" \
    "!$(row_of routes one.test)" \
    "document.getElementById('range').textContent === '1–3 of 3'"
}
shows_numbers() {
  route busy.test 9001
  route idle.test 9002
  keep_asking busy.test nowhere.test &
  local asking=$!
  browse "$page" "$is_live" "parseFloat(document.querySelector('#requests b').textContent) > 1" \
    "parseFloat(document.querySelector('#errors .two').textContent) > 0.5" \
    "document.querySelector('#errors .three').textContent === '0 5xx'" \
    "document.querySelector('#latency b').textContent.endsWith(' ms') && document.querySelector('#latency .two').textContent.endsWith(' ms p99')" \
    "document.querySelector('#requests path').getAttribute('d').length > 20" \
    "parseFloat(($(row_of routes busy.test))[4]) > 0.5 && ($(row_of routes idle.test))[4] === '0'" \
    "parseFloat(($(row_of backends http://127.0.0.1:9001))[3]) > 0.5"
  kill $asking
  browse "$page" "document.querySelector('#requests b') && document.querySelector('#requests b').textContent === '0/s'" \
    "document.querySelector('#latency b').textContent === '–'"
}
shows_the_dead() {
  is 200 "$(put dying.test '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9005"],"health":{"path":"/","interval_ms":100,"timeout_ms":500}}')"
  route well.test 9001
  backends_start 9005
  browse "$page" "$is_live" "($(row_of routes dying.test))[2] === '2/2'" "run:kill -9 $(cat "$work/backend.9005.pid")" \
    "($(row_of routes dying.test))[2] === '1/2'" \
    "($(row_of backends http://127.0.0.1:9005))[1] === 'dead' && ($(rows backends))[0][0] === 'http://127.0.0.1:9005'" \
    "($(row_of backends http://127.0.0.1:9001))[1] === 'alive'" \
    "do:document.getElementById('dead').click()" "($(rows routes)).length === 1 && $(row_of routes dying.test)"
}
filters_and_turns() {
  some_routes 120
  type_in() { echo "do:(document.getElementById('filter').value = '$1', document.getElementById('filter').dispatchEvent(new Event('input')))"; }
  browse "$page" "$is_live" "($(rows routes)).length === 50 && document.getElementById('range').textContent === '1–50 of 120'" \
    "document.getElementById('back').disabled" "do:document.getElementById('on').click()" \
    "($(rows routes))[0][0] === 'site051.test'" "do:document.getElementById('on').click()" \
    "document.getElementById('range').textContent === '101–120 of 120' && document.getElementById('on').disabled" \
    "do:document.getElementById('back').click()" "($(rows routes))[0][0] === 'site051.test'" \
    "$(type_in 'SITE11')" "($(rows routes)).length === 10 && ($(rows routes))[0][0] === 'site110.test'" \
    "$(type_in 'none<b>&x=1')" "($(rows routes)).length === 0 && document.getElementById('none').textContent === 'None of the 120 routes is like that.'" \
    "$(type_in '')" "($(rows routes)).length === 50" \
    "do:document.querySelector('#routes button').click()" \
    "document.getElementById('whose').textContent === 'of site001.test' && document.querySelector('#routes tr.chosen')"
}
hundred_thousand() { # the page asks for a page of them
  some_routes 100000
  local begin
  browse "$page" "$is_live" "document.getElementById('range').textContent === '1–50 of 100,000'" \
    "do:document.getElementById('on').click()" "($(rows routes))[0][0] === 'site000051.test'" \
    "show:performance.getEntriesByType('resource').filter(one => one.name.includes('/v1/routes')).every(one => one.decodedBodySize < 50000)" >"$work/said"
  is true "$(cat "$work/said")"
  begin=$(awk '{print $14 + $15}' "/proc/$(proxy_pid main)/stat")
  for _ in 1 2 3 4 5 6 7 8 9 10; do admin GET '/v1/routes?limit=50&contains=99' >/dev/null; done
  at_most $((60 * slowness)) $(($(awk '{print $14 + $15}' "/proc/$(proxy_pid main)/stat") - begin)) "hundredths of a second's work for ten pages"
}
markup_is_text() { # whoever can write routes into Redis cannot write into the page
  local evil='<img src=x onerror=alert(1)><script>alert(2)</script>'
  redis rpush 'frontend:<img-src=x-onerror=alert(1)>' id http://127.0.0.1:9001 >/dev/null
  redis rpush frontend:evil.test "$evil" http://127.0.0.1:9001 >/dev/null
  is 200 "$(put markup.test "$(jq -n --arg evil "$evil" '{backends: ["http://127.0.0.1:9001"], id: $evil, health: {path: ("/" + $evil)}}')")"
  eventually 2 serves evil.test 9001
  browse "$page" "$is_live" "($(row_of routes markup.test))[7].includes('<img src=x onerror=alert(1)><script>')" \
    "$(row_of routes evil.test)" "!document.querySelector('main img') && document.scripts.length === 1" \
    "document.querySelector('#routes td.options').children.length === 0"
}
policy_holds() { # even if markup came in, it would not run
  fails browse "$page" "$is_live" "do:document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran=1\">')" \
    "run:sleep 1" "window.ran === undefined" 2>"$work/said"
  contains "$(cat "$work/said")" 'Content Security Policy'
  fails browse "$page" "$is_live" "fetch('http://127.0.0.1:9001/').then(() => false, () => true)" 2>"$work/said"
  contains "$(cat "$work/said")" 'Content Security Policy'
}
token_is_asked_for() {
  proxy_start token '.http.port = 8010 | .admin = {port: 8011, token: "sesame"} | del(.driver, .store)'
  local asked="!document.getElementById('ask').hidden && document.querySelector('main').hidden"
  give() { echo "do:(document.getElementById('token').value = '$1', document.querySelector('#ask button').click())"; }
  is 401 "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8011/metrics)"
  browse http://127.0.0.1:8011/ "$asked" "$(picture token)" "$(give wrong)" "!document.getElementById('wrong').hidden && $asked" \
    "sessionStorage.length === 0" "$(give sesame)" "$is_live" "document.getElementById('ask').hidden" \
    "sessionStorage.length === 1 && localStorage.length === 0 && document.cookie === ''" \
    "go:http://127.0.0.1:8011/" "$is_live" "!document.getElementById('forget').hidden" \
    "do:document.getElementById('forget').click()" "$asked" "sessionStorage.length === 0"
  proxy_end token
}
comes_back() { # over a restart of the proxy, without being loaded anew
  route one.test 9001
  browse "$page" "$is_live" "run:kill -9 $(proxy_pid main)" "document.getElementById('state').textContent === 'the proxy cannot be reached'" \
    "run:setsid berth-proxy -c $work/main.json >>$work/main.log 2>&1 </dev/null & echo \$! >$work/main.pid" "$is_live" "$(row_of routes one.test)"
}
looks_good() { # pictures, for people; and that nothing is wider than the window
  local scheme options width
  some_routes 60
  is 200 "$(put shop.example.org '{"backends":["http://127.0.0.1:9001",{"url":"http://127.0.0.1:9002","weight":3}],"sticky":true,"balance":"round-robin"}')"
  is 200 "$(put api.example.org '{"backends":["http://127.0.0.1:9001","http://127.0.0.1:9009"],"health":{"path":"/up","interval_ms":200,"timeout_ms":100}}')"
  is 200 "$(put 'a-quite-long-name-of-a-host-that-somebody-has-really-chosen.customers.example.org' '{"backends":["http://127.0.0.1:9009"]}')"
  keep_asking shop.example.org api.example.org site001.test nowhere.test shop.example.org &
  local asking=$!
  for width in 1200 390; do
    for scheme in light dark; do
      options=()
      [ $scheme = light ] || options=(--dark)
      browse "${options[@]}" --width $width "$page" "$is_live" "$(row_of routes shop.example.org)" "document.querySelector('#requests path').getAttribute('d').length > ${DRAWN:-20}" \
        "document.documentElement.scrollWidth <= innerWidth" "$(picture "$scheme-$width")"
    done
  done
  kill $asking
}

backends_start 9001 9002 9003
redis_start
proxy_start main

proxy_case "the list in pages" list_in_pages
proxy_case "the list in pages: each route once" every_page_once
proxy_case "who asks: foreign names and pages" rebinding
proxy_case "who asks: from a browser" rebinding_by_a_browser
proxy_case "who asks: sockets and tokens" other_doors
proxy_case "the page's head" head_of_the_page
proxy_case "page: routes come and go" shows_routes
proxy_case "page: numbers" shows_numbers
proxy_case "page: dead backends" shows_the_dead
proxy_case "page: filter and pages" filters_and_turns
proxy_case "page: a hundred thousand routes" hundred_thousand
proxy_case "page: markup is text" markup_is_text
proxy_case "page: its policy holds" policy_holds
proxy_case "page: a token" token_is_asked_for
proxy_case "page: the proxy goes and comes" comes_back
proxy_case "page: fits, light and dark, wide and narrow" looks_good
proxy_finish
