# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the proxy's end-to-end tests, in front of everything: they run in a network of their own, where all ports are
# theirs, nothing gets out, and 10.99.0.2 is an address that swallows what is sent to it. Then as tests/lib.sh, and:
#
#   proxy_start name ['jq patch of the configuration']   redis_start [port [flag...]]
#
# Ports: 8000 the proxy's, 8001 its API's, 8443 its TLS; 6379 Redis; from 9001 on backends.

if [ -z "${BERTH_PROXY_NETWORK:-}" ]; then
  [ "$(id -u)" = 0 ] || { echo "SKIP: end-to-end tests need root"; exit 77; }
  BERTH_PROXY_NETWORK=own exec unshare --net -- "$0" "$@"
fi
ip link set lo up
ip link add hole0 type veth peer name hole1
ip address add 10.99.0.1/24 dev hole0
ip link set hole0 up
ip link set hole1 up
ip neighbour add 10.99.0.2 lladdr 02:00:00:00:00:02 dev hole0 nud permanent

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
command -v berth-proxy >/dev/null || { echo "FAIL: there is no berth-proxy in $BERTH_BIN"; exit 1; }
helpers=$PWD/tests/proxy
chmod 755 "$work" # a proxy that has become somebody else reads below it
api=http://127.0.0.1:8001

# Proxies, backends and servers of this run: those with its directory in their arguments, and those that are noted.
proxy_processes() {
  {
    { grep -lzsF "$work/" /proc/[0-9]*/cmdline || true; } | cut -d/ -f3 | while read -r pid; do
      case $(cat "/proc/$pid/comm" 2>/dev/null) in berth-proxy | python3* | redis-server) echo "$pid" ;; esac
    done
    cat "$work"/redis.*.pid 2>/dev/null
  } | sort -u
}
proxy_clean_up() {
  local pid
  for pid in $(proxy_processes); do kill -9 "$pid" 2>/dev/null; done
  clean_up
}
trap proxy_clean_up EXIT

# --- proxies -------------------------------------------------------------------------------------------------------

configuration() { # name ['jq patch']: the path of a configuration
  jq -n --arg work "$work" --arg name "$1" "{
    server: {accessLog: \"\(\$work)/\(\$name).access\", workers: 2, deadBackendTTL: 2, tcpTimeout: 2, retryOnError: 3},
    http: {port: 8000, bind: [\"127.0.0.1\"]}, driver: \"redis://127.0.0.1:6379\",
    admin: {port: 8001}, store: \"\(\$work)/\(\$name).store\"} | ${2:-.}" >"$work/$1.json"
  echo "$work/$1.json"
}
runs() { [ -n "$1" ] && ! gone "$1"; } # pid
proxy_pid() { cat "$work/$1.pid" 2>/dev/null; }
answers() { [ "$(curl -s --max-time 2 -H 'Host: __ping__' "http://127.0.0.1:${1:-8000}/" 2>/dev/null)" = ok ]; }
proxy_again() { # name: as it was
  setsid berth-proxy -c "$work/$1.json" >>"$work/$1.log" 2>&1 </dev/null &
  echo $! >"$work/$1.pid"
  disown $!
  local attempt port
  port=$(jq '.http.port // 8000' "$work/$1.json")
  for ((attempt = 0; attempt < 200 * slowness; attempt++)); do
    ! answers "$port" || return 0
    ! gone "$(proxy_pid "$1")" || break
    sleep 0.03
  done
  echo "the proxy did not start: $(tail -n 3 "$work/$1.log")"
  return 1
}
proxy_start() { configuration "$@" >/dev/null && proxy_again "$1"; }
proxy_end() { # name [signal]
  local pid
  pid=$(proxy_pid "$1")
  ! gone "$pid" || { echo "the proxy $1 had ended already: $(tail -n 3 "$work/$1.log")"; return 1; }
  kill "-${2:-TERM}" "$pid"
  eventually 10 gone "$pid"
}
successor_of() { # name: notes the process that took over
  { grep -lzsxF "$work/$1.json" /proc/[0-9]*/cmdline || true; } | cut -d/ -f3 | while read -r pid; do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != berth-proxy ] || gone "$pid" || echo "$pid"
  done
}
handed_over() { # name old-pid
  gone "$2" && [ "$(successor_of "$1" | wc -l)" = 1 ] && successor_of "$1" >"$work/$1.pid"
}

# --- requests ------------------------------------------------------------------------------------------------------

get() { # host [path] [curl argument...]
  local host=$1 path=${2:-/}
  shift
  [ $# = 0 ] || shift
  curl -s --max-time $((15 * slowness)) -H "Host: $host" "$@" "http://127.0.0.1:8000$path"
}
code() { local host=$1 path=${2:-/}; shift; [ $# = 0 ] || shift; get "$host" "$path" -o /dev/null -w '%{http_code}' "$@"; }
serves() { [ "$(get "$1" "${3:-/}")" = "$2" ]; } # host text [path]
answers_with() { [ "$(code "$1")" = "$2" ]; }    # host status
tally() { # count host [curl argument...]: how often each backend answered: "9001:20 9002:20"
  local count=$1
  get "$2" "/?[1-$count]" -w '\n' "${@:3}" | sed '/^$/d' | sort | uniq -c | awk '{print $2 ":" $1}' | xargs
}
admin() { # method path [curl argument...]: the status; what it said is in $work/answer
  local method=$1 path=$2
  shift 2
  curl -s --max-time $((15 * slowness)) -o "$work/answer" -w '%{http_code}' -X "$method" "$@" "$api$path"
}
put() { admin PUT "/v1/routes/$1" --data-binary "$2"; } # host document
route() { # host port...
  local host=$1 port list=()
  shift
  for port in "$@"; do list+=("\"http://127.0.0.1:$port\""); done
  is 200 "$(put "$host" "{\"backends\":[$(IFS=,; echo "${list[*]}")]}")" "status of a PUT of $host: $(cat "$work/answer")"
}
describes() { jq -e "$1" "$work/answer" >/dev/null || { echo "not /$1/: $(cat "$work/answer")"; return 1; }; } # jq expression
metric() { curl -s --max-time 5 "$api/metrics" | python3 "$helpers/metrics.py" "$@"; }
traffic() { timeout $((60 * slowness)) python3 "$helpers/traffic.py" "$@"; }

http2_clients() { timeout $((120 * slowness)) python3 "$helpers/http2_clients.py" "$@"; }
clients() { timeout $((60 * slowness)) python3 "$helpers/clients.py" "$@"; }

# --- what stands behind it -----------------------------------------------------------------------------------------

backends_start() { # port...
  python3 "$helpers/backend.py" "$work/" "$@" >>"$work/backends.log" 2>&1 </dev/null &
  echo $! >"$work/backend.$1.pid"
  disown $!
  local port
  for port in "$@"; do eventually 10 curl -s -o /dev/null "http://127.0.0.1:$port/"; done
}
backend_end() { kill -9 "$(cat "$work/backend.$1.pid")"; eventually 5 gone "$(cat "$work/backend.$1.pid")"; } # port

# shellcheck disable=SC2120 # its arguments are the scripts' business
redis_start() { # [port [flag...]]
  local port=${1:-6379}
  shift $(($# > 0))
  redis-server --port "$port" --bind 127.0.0.1 --save "" --dir "$work" "$@" >>"$work/redis.log" 2>&1 </dev/null &
  echo $! >"$work/redis.$port.pid"
  disown $!
  eventually 10 eval "redis-cli -p $port ping 2>&1 | grep -E 'PONG|NOAUTH' >/dev/null"
}
redis() { redis-cli -p "${REDIS_PORT:-6379}" "$@" 2>&1; } # command argument...
frontend() { # host port...: an identifier and addresses, anew
  local host=$1 port
  shift
  {
    printf 'MULTI\nDEL "%s"\nRPUSH "%s" "id of %s"' "$PREFIX""frontend:$host" "$PREFIX""frontend:$host" "$host"
    for port in "$@"; do printf ' http://127.0.0.1:%s' "$port"; done
    printf '\nEXEC\n'
  } | redis | grep -i err && return 1
  return 0
}
PREFIX=
# What a case may count on, whatever the one before it has left: the proxy "main", as the script configures it, and an
# empty Redis. Nothing else, but for the slow clients' proxy.
as_usual() {
  local pid name
  for pid in $(proxy_processes); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = berth-proxy ] || continue
    name=$(tr '\0' '\n' <"/proc/$pid/cmdline" | sed -n 's|.*/\([a-z]*\)\.json$|\1|p')
    case $name in slow) ;; main) [ "$pid" = "$(proxy_pid main)" ] || kill -9 "$pid" ;; *) kill -9 "$pid" ;; esac
  done
  for name in "$work"/redis.*.pid; do
    name=${name#"$work"/redis.}
    name=${name%.pid}
    case $name in 6379 | '*') ;; *) redis_end "$name" ;; esac
  done
  runs "$(cat "$work/redis.6379.pid" 2>/dev/null)" || redis_start
  cp "$work/main.json" "$work/main.was" 2>/dev/null
  configuration main "${MAIN:-.}" >/dev/null
  if ! runs "$(proxy_pid main)" || ! cmp -s "$work/main.json" "$work/main.was" || ! answers; then
    ! runs "$(proxy_pid main)" || proxy_end main 9
    proxy_again main
  fi
  curl -s --max-time 5 "$api/v1/routes" | jq -r '.[] | select(.source == "admin").host' | while read -r name; do
    admin DELETE "/v1/routes/$name" >/dev/null
  done
  [ "$(redis dbsize)" = 0 ] || redis flushall >/dev/null
  eventually 5 followed >/dev/null
}
proxy_case() { [[ $1 =~ ${ONLY:-.} ]] || return 0; as_usual || echo "(before: $1)"; case_of "$@"; }
redis_end() {
  local noted=$work/redis.${1:-6379}.pid
  kill -9 "$(cat "$noted")"
  eventually 5 gone "$(cat "$noted")"
  rm "$noted"
}
connected() { curl -s --max-time 5 "$api/metrics" | grep -x "berth_proxy_redis_connected $1" >/dev/null; } # 1 or 0
followed() { connected 1; }

certificate() { # directory name
  mkdir -p "$1"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1/key.pem.new" -out "$1/cert.pem" -days 3 \
    -subj "/CN=$2" -addext "subjectAltName=DNS:$2" 2>/dev/null
  mv "$1/key.pem.new" "$1/key.pem"
}
longer_than() { [ -e "$2" ] && [ "$(wc -l <"$2")" -gt "$1" ]; } # lines file
no_crash() { fails grep -aE 'terminate called|Sanitizer|Assertion|runtime error' "$work"/*.log; }
proxy_finish() {
  local pid
  case_of "no proxy has crashed" no_crash
  for pid in $(proxy_processes); do kill -9 "$pid"; done
  finish
}
