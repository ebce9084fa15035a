#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The load balancer as a service: what its manager is told, and what an installation has for it.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/proxy/lib.sh"

listen_as_manager() { # address: what comes, a line each, into $work/told
  cat >"$work/manager.py" <<'P'
import socket, sys
place = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
place.bind(sys.argv[1].replace("@", "\0", 1))
print("listening", flush=True)
while True:
    print(place.recv(4096).decode().replace("\n", " "), flush=True)
P
  rm -f "$work/notify"
  python3 "$work/manager.py" "$1" >"$work/told" &
  manager=$!
  eventually 20 grep -x listening "$work/told"
}
told() { sed 1d "$work/told" | tail -n 1; }
told_is() { [ "$(told)" = "$1" ]; }

says_what_it_does() { # address
  listen_as_manager "$1"
  NOTIFY_SOCKET=$1 proxy_start served '.http.port = 8010 | .admin.port = 8011 | del(.driver)'
  local first=$manager old
  eventually 5 told_is READY=1
  old=$(proxy_pid served)
  kill -USR2 "$old"
  eventually 20 handed_over served "$old"
  eventually 5 told_is "MAINPID=$(proxy_pid served) READY=1"
  is 2 "$(sed 1d "$work/told" | wc -l)" "messages: the second program leaves the word to the first"
  answers 8010
  old=$(proxy_pid served)
  kill -USR2 "$old" # and again
  eventually 20 handed_over served "$old"
  eventually 5 told_is "MAINPID=$(proxy_pid served) READY=1"
  proxy_end served
  eventually 5 told_is STOPPING=1
  kill "$first"
}
successor_that_fails() { # nothing is said of it
  listen_as_manager "$work/notify"
  NOTIFY_SOCKET=$work/notify proxy_start served '.http.port = 8010 | .admin.port = 8011 | del(.driver)'
  eventually 5 told_is READY=1
  echo '{' >"$work/served.json"
  kill -USR2 "$(proxy_pid served)"
  eventually 20 grep 'this one goes on' "$work/served.log"
  is READY=1 "$(told)"
  answers 8010
  kill "$manager"
  kill "$(proxy_pid served)"
}
moved_api() { # what was open with a token is not open without one
  proxy_start served '.http.port = 8010 | .admin = {bind: "0.0.0.0", port: 8011, token: "a-secret-of-ours"} | del(.driver)'
  local old
  old=$(proxy_pid served)
  is 401 "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8011/v1/routes)"
  configuration served ".http.port = 8010 | .admin = {socket: \"$work/api.sock\"} | del(.driver)" >/dev/null
  kill -USR2 "$old"
  eventually 20 handed_over served "$old"
  fails curl -s -o /dev/null http://127.0.0.1:8011/v1/routes
  is 200 "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$work/api.sock" http://x/v1/routes)"
  proxy_end served
}
nobody_listens() { # or what is named is no socket: it serves all the same
  local place
  for place in "$work/nowhere" relative "@$(head -c 300 /dev/zero | tr '\0' a)" ''; do
    NOTIFY_SOCKET=$place proxy_start served '.http.port = 8010 | .admin.port = 8011 | del(.driver)'
    answers 8010
    proxy_end served
  done
}

unit_is_good() {
  command -v systemd-analyze >/dev/null || skip "there is no systemd-analyze"
  local unit=$work/berth-proxy.service
  sed "s|@CMAKE_INSTALL_FULL_BINDIR@|$BERTH_BIN|" dist/systemd/berth-proxy.service.in >"$unit"
  systemd-analyze verify --man=no "$unit" >"$work/verified" 2>&1 || true
  fails grep -E 'berth-proxy.service' "$work/verified"
  said=$(systemd-analyze security --offline=true "$unit" | tail -n 1)
  [[ $said =~ :\ ([0-9]+)\.[0-9] ]] && at_most 2 "${BASH_REMATCH[1]}" "exposure ($said)"
}
example_is_good() { # as it is, but for where things are
  refused 0 good berth-proxy -t -c dist/proxy.json
  lacks "$said" 'means nothing'
  local name
  for name in run/berth-proxy var/log/berth-proxy var/lib/berth-proxy; do mkdir -p "$work/root/$name"; done
  sed "s#\"/\(run\|var\)/#\"$work/root/\1/#; s#\"::\"#\"::1\"#; s#\"port\": 80#\"port\": 8010#" dist/proxy.json >"$work/example.json"
  proxy_again example
  is x.test "$(b route add x.test 127.0.0.1:9001 --proxy "unix://$work/root/run/berth-proxy/admin.sock")"
  is 9001 "$(curl -s -H 'Host: x.test' http://127.0.0.1:8010/)"
  is 600 "$(stat -c %a "$work/root/run/berth-proxy/admin.sock")"
  proxy_end example
  grep -F "$(jq -r .admin.socket dist/proxy.json)" src/cli/commands/route.cpp # what the command line asks without being told
}

backends_start 9001
redis_start
proxy_start main

proxy_case "a manager is told: a socket in a directory" says_what_it_does "$work/notify"
proxy_case "a manager is told: a socket with a name alone" says_what_it_does "@berth-proxy-test-$$"
proxy_case "a manager is not told of a successor that fails" successor_that_fails
proxy_case "an API that listens elsewhere after a reload" moved_api
proxy_case "no manager, or none that listens" nobody_listens
proxy_case "the unit" unit_is_good
proxy_case "the example of a configuration" example_is_good
proxy_finish
