# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the end-to-end tests: a private engine below a temporary directory, cases, assertions, and a search for
# what an engine left behind. The programs come from $BERTH_BIN. ONLY=REGEX runs the cases whose title matches.
#
#   case_of "title" function [argument...]   one test: the function runs in a subshell with `set -e`
#   finish                                   removes everything, looks for leftovers, prints the sum, exits
#
# Engines have names: `engine_start main` keeps everything of it below $work/main. What belongs to an engine is found
# by that path, by its control group and by its bridge, and is ended by process id.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
BERTH_BIN=${BERTH_BIN:-$PWD/build/release/bin}
[ "$(id -u)" = 0 ] || { echo "SKIP: end-to-end tests need root"; exit 77; }
[ -x "$BERTH_BIN/berthd" ] || { echo "FAIL: there is no berthd in $BERTH_BIN"; exit 1; }
export PATH=$BERTH_BIN:$PATH

work=$(mktemp -d /tmp/berth-e2e.XXXXXX)
export BERTH_CONFIG=$work/config DOCKER_CONFIG=$work/config DOCKER_CLI_HINTS=false
mkdir "$work/config"
# Limits guard against what hangs, so they follow the programs' speed: sanitizers make them some eight times slower.
slowness=1
! grep -q -e __asan_init -e __tsan_init "$BERTH_BIN/berthd" || slowness=8
passed=0 failed=0 skipped=0
groups=berth-e2e-${work##*.} # control groups of all engines of this run lie below it

# --- engines -------------------------------------------------------------------------------------------------------

engine_use() { export BERTH_HOST=unix://$work/$1/berth.sock DOCKER_HOST=unix://$work/$1/berth.sock; }
engine_pid() { cat "$work/$1/engine.pid" 2>/dev/null; }
engine_answers() { curl -fs --max-time 5 --unix-socket "$work/$1/berth.sock" http://engine/_ping >/dev/null; }

engine_start() { # name [flag...]: data and exec roots may be there already, as mount points
  local name=$1 home=$work/$1
  shift
  mkdir -p "$home/data" "$home/run"
  engine_use "$name"
  setsid berthd --data-root "$home/data" --exec-root "$home/run" --cgroup-parent "/$groups/$name" \
    -H "unix://$home/berth.sock" "$@" >>"$home/engine.log" 2>&1 </dev/null &
  echo $! >"$home/engine.pid"
  disown $!
  local attempt
  for ((attempt = 0; attempt < 300 * slowness; attempt++)); do
    if engine_answers "$name"; then
      bridge_of "$name" >"$home/bridge"
      return 0
    fi
    ! gone "$(engine_pid "$name")" || break
    sleep 0.05
  done
  echo "the engine did not start: $(tail -n 3 "$home/engine.log")"
  return 1
}

engine_end() { # name [signal]
  local pid
  pid=$(engine_pid "$1") || return 0
  kill -"${2:-TERM}" "$pid" 2>/dev/null
  eventually 20 gone "$pid"
}

gone() { case $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) in "" | Z*) ;; *) return 1 ;; esac; }

# An engine's bridge is the device with its default network's gateway address.
bridge_of() {
  local gateway
  gateway=$(curl -s --max-time 5 --unix-socket "$work/$1/berth.sock" http://engine/networks/bridge |
    grep -o '"Gateway":"[0-9.]*"' | head -n 1 | cut -d'"' -f4)
  [ -z "$gateway" ] || ip -o -4 address | awk -v want="$gateway" '{split($4, a, "/"); if (a[1] == want) print $2}'
}

# It stays while its engine lives, and ends by itself some seconds after.
resolver_of() { # name
  { grep -lzs "^$work/$1/run/names.sock\$" /proc/[0-9]*/cmdline || true; } | cut -d/ -f3
}

# Keepers, and whatever else was started with a path of this engine. Engine and resolver are left out.
processes_of() { # name
  {
    { grep -lzs "^$work/$1/run/" /proc/[0-9]*/cmdline || true; } | cut -d/ -f3
    find /sys/fs/cgroup/*/"$groups/$1" "/sys/fs/cgroup/$groups/$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  } | sed "/^$(engine_pid "$1")\$/d" | grep -vxF "$(resolver_of "$1")" | sort -nu
}

keeper_of() { # container of the engine "main"
  # Processes come and go meanwhile, for which grep's exit status is an error.
  { grep -lzs "^$work/main/run/containers/$(b inspect -f '{{.Id}}' "$1")\$" /proc/[0-9]*/cmdline || true; } | cut -d/ -f3
}

interfaces_of() { # name
  local bridge
  bridge=$(cat "$work/$1/bridge" 2>/dev/null)
  [ -z "$bridge" ] || ip -o link show master "$bridge" 2>/dev/null | cut -d: -f2
}

# Everything that containers of an engine may leave on the machine, one line each; nothing when all is well.
leftovers_of() { # name
  local home=$work/$1 line
  for line in $(processes_of "$1"); do
    echo "process $line $(tr '\0' ' ' <"/proc/$line/cmdline" 2>/dev/null)"
  done
  sed -n "s|^[^ ]* \($home/[^ ]*\) \([^ ]*\) .*|mount \1 \2|p" /proc/mounts | grep -vE " $home/(data|run) "
  find /sys/fs/cgroup/*/"$groups/$1" "/sys/fs/cgroup/$groups/$1" -mindepth 1 -type d 2>/dev/null | sort -u | sed 's/^/control group /'
  find "$home/run/containers" -mindepth 1 2>/dev/null | sed 's/^/file /'
  find "$home/data/containers" -mindepth 1 ! -name .removed 2>/dev/null | head -n 20 | sed 's/^/file /'
}
no_leftovers() { [ -z "$(leftovers_of "$1")" ]; }

nothing_left() { # name: containers are removed in the background, so this waits
  if ! eventually "${2:-15}" no_leftovers "$1"; then
    leftovers_of "$1" | head -n 20
    return 1
  fi
}

no_interfaces() { [ -z "$(interfaces_of "$1")" ]; }

# What an engine that has ended may not leave, and what a test takes away because it stays on purpose.
engine_forget() { # name
  local home=$work/$1 bridge pid table
  for pid in $(processes_of "$1") $(resolver_of "$1"); do kill -9 "$pid" 2>/dev/null; done
  awk -v home="$home/" 'index($2, home) == 1 {print $2}' /proc/mounts | tac | while read -r line; do umount -l "$line"; done
  find /sys/fs/cgroup/*/"$groups" "/sys/fs/cgroup/$groups" -depth -type d -exec rmdir {} + 2>/dev/null
  bridge=$(cat "$home/bridge" 2>/dev/null)
  [ -n "$bridge" ] || return 0
  for table in $(nft list tables inet 2>/dev/null | awk '$3 ~ /^berth_/ {print $3}'); do
    ! nft list table inet "$table" 2>/dev/null | grep -w "$bridge" >/dev/null || nft delete table inet "$table"
  done
  ip link delete "$bridge" 2>/dev/null
}

# --- an image ------------------------------------------------------------------------------------------------------

image_make() { # [name]: busybox and the files that one expects
  local tree=$work/image name
  if [ ! -d "$tree" ]; then
    mkdir -p "$tree"/{bin,etc,root,tmp,proc,sys,dev,var,home}
    chmod 1777 "$tree/tmp"
    cp /bin/busybox "$tree/bin/"
    for name in $(/bin/busybox --list); do [ "$name" = busybox ] || ln -s busybox "$tree/bin/$name"; done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh alice:x:1000:1001:alice:/home:/bin/sh nobody:x:65534:65534::/:/bin/false \
      >"$tree/etc/passwd"
    printf '%s\n' root:x:0: staff:x:1001: extra:x:1002:alice nogroup:x:65534: >"$tree/etc/group"
  fi
  tar -C "$tree" -c . | berth import -c 'CMD ["sh"]' - "${1:-box}" >/dev/null
}

# --- cases and assertions ------------------------------------------------------------------------------------------

case_of() { # title function [argument...]
  local title=$1 log=$work/case.log status=0 begin=$SECONDS
  shift
  [[ $title =~ ${ONLY:-.} ]] || return 0
  # Not in a condition: bash would ignore `set -e` there.
  (set -eo pipefail; "$@") >"$log" 2>&1 </dev/null &
  wait $! || status=$?
  case $status in
    0) passed=$((passed + 1)); echo "ok   $title ($((SECONDS - begin)) s)" ;;
    77) skipped=$((skipped + 1)); echo "SKIP $title: $(tail -n 1 "$log")" ;;
    *) failed=$((failed + 1)); echo "FAIL $title"; tail -n 12 "$log" | cut -c1-300 | sed 's/^/     /' ;;
  esac
}
skip() { echo "$*"; exit 77; }

# A new build context with the Dockerfile from standard input. Cases run in subshells: the directory is theirs.
context() {
  local directory
  directory=$(mktemp -d "$work/context.XXXXXX")
  chmod 755 "$directory"
  cd "$directory" || exit
  cat >Dockerfile
}

# The command line, with a limit: a test that hangs is a test that fails.
b() { timeout -k 5 $((${LIMIT:-40} * slowness)) berth "$@"; }

is() { # wanted got [what]
  [ "$1" = "$2" ] || { echo "${3:-value}: wanted <$1>, got <${2:0:400}>"; return 1; }
}
contains() { # text part
  case $1 in *"$2"*) ;; *) echo "wanted <$2> within <${1:0:600}>"; return 1 ;; esac
}
lacks() { # text part
  case $1 in *"$2"*) echo "did not want <$2> within <${1:0:600}>"; return 1 ;; esac
}
at_most() { # limit number what
  [ "$2" -le "$1" ] || { echo "$3: $2, more than $1"; return 1; }
}
exits() { # status command...: what it said is in $said
  local want=$1 status=0
  shift
  said=$("$@" 2>&1) || status=$?
  [ "$status" = "$want" ] || { echo "wanted exit $want, got $status from: $*: ${said:0:400}"; return 1; }
}
# For what must not work: bash's `set -e` passes over a failed `! command`.
fails() { # command...
  if "$@"; then echo "did not want this to work: $*"; return 1; fi
}
# Refused as one ought to be: the exit status, words that name what was wrong, in few lines, without a crash.
refused() { # status regex command...
  local want=$1 words=$2
  shift 2
  exits "$want" "$@" || return 1
  grep -qiE -- "$words" <<<"$said" || { echo "wanted /$words/ from: $*: ${said:0:400}"; return 1; }
  at_most "${MOST_LINES:-6}" "$(wc -l <<<"$said")" "lines of the message of: $*: ${said:0:800}"
}
eventually() { # seconds command...
  local end=$((SECONDS + $1 * slowness + 1))
  shift
  while ! "$@"; do
    [ $SECONDS -lt $end ] || { echo "never true: $*"; return 1; }
    sleep 0.1
  done
}
state_is() { [ "$(b inspect -f '{{.State.Status}}' "$1" 2>/dev/null)" = "$2" ]; }

# The HTTP status of a request; the answer's body is in $work/answer.
http() { # method path [curl argument...]
  local method=$1 path=$2
  shift 2
  curl -s --max-time $((30 * slowness)) -o "$work/answer" -w '%{http_code}' -X "$method" \
    --unix-socket "${BERTH_HOST#unix://}" "$@" "http://engine$path"
}
http_json() { http "$1" "$2" -H 'Content-Type: application/json' --data-binary "$3"; }

# --- the end -------------------------------------------------------------------------------------------------------

# --- containers that serve their host name -----------------------------------------------------------------------------

# shellcheck disable=SC2034 # the suites' business
web='mkdir -p /w; hostname >/w/index.html; exec httpd -f -p 80 -h /w'
address_of() { b inspect -f "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}" "$1" | cut -d' ' -f1; }
fetch() { curl -fsS --max-time 5 "$@"; }
fetched() { [ "$(fetch "$1" 2>/dev/null)" = "$2" ]; }
asks() { b run --rm --network "$1" box sh -c "timeout 3 wget -qO- http://$2/; exit \$?"; } # network address
hosts_of() { b exec "$1" cat /etc/hosts; }
knows() { hosts_of "$1" | grep -qx "$2"; } # container line

remove_all() { b ps -aq | xargs -r timeout $((60 * slowness)) berth rm -f >/dev/null; }

ends_clean() { # name: after everything was removed and the engine was told to end
  engine_use "$1"
  remove_all
  nothing_left "$1"
  engine_end "$1" TERM
  eventually 15 no_interfaces "$1" || { interfaces_of "$1"; return 1; }
  if grep -aE 'terminate called|Sanitizer|Assertion|runtime error' "$work/$1/engine.log"; then return 1; fi
}

clean_up() {
  local file pid name
  # Found by the path in their arguments, since the directory itself may have been taken away.
  for pid in $(grep -lzsF "$work/" /proc/[0-9]*/cmdline | cut -d/ -f3); do
    case $(cat "/proc/$pid/comm" 2>/dev/null) in berthd | berth-keeper*) kill -9 "$pid" 2>/dev/null ;; esac
  done
  for file in "$work"/*/engine.pid; do
    [ -f "$file" ] || continue
    name=$(basename "$(dirname "$file")")
    engine_forget "$name" 2>/dev/null
  done
  if [ $failed = 0 ]; then rm -rf --one-file-system "$work"; else echo "(kept: $work)"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

finish() {
  local file name ONLY=.
  for file in "$work"/*/engine.pid; do
    [ -f "$file" ] || continue
    name=$(basename "$(dirname "$file")")
    if engine_answers "$name"; then
      case_of "nothing of the engine \"$name\" is left" ends_clean "$name"
    else
      case_of "the engine \"$name\" is alive to the end" false
    fi
  done
  [ $skipped = 0 ] || local rest=", $skipped skipped"
  clean_up
  trap - EXIT
  echo "$passed passed, $failed failed${rest:-}"
  [ $failed = 0 ]
  exit
}
