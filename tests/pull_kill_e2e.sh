#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The engine is killed at any moment of pulls, pushes, removals and prunes, and berth-registry at any moment of pushes:
# after each start the store is sound, what was acknowledged is whole, and what was not can be done again.
#
#   ROUNDS=20 tests/pull_kill_e2e.sh
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "SKIP: needs python3"; exit 77; }

rounds=${ROUNDS:-10}

engine_kill() { kill -9 "$(engine_pid main)"; eventually 10 gone "$(engine_pid main)"; }
registry_end() { kill "$(cat "$work/registry.pid")" 2>/dev/null || true; }
image_in() { echo "127.0.0.1:$port/$1:1"; }
present() { b image inspect "$(image_in "$1")" >/dev/null 2>&1; }

# --- clients: what they begin and what was acknowledged is in a file each, the last line counts ---------------------

come_and_go() { # repository, notes: pulled and removed in turn until the engine is gone
  while :; do
    echo "pulling" >>"$2"
    b pull -q "$(image_in "$1")" >/dev/null 2>&1 || return 0
    echo "pulled" >>"$2"
    [ $((RANDOM % 3)) != 0 ] || return 0 # and stays
    echo "removing" >>"$2"
    b rmi "$(image_in "$1")" >/dev/null 2>&1 || return 0
    echo "removed" >>"$2"
  done
}
push_many() { # notes
  local n=0 name
  while :; do
    name=127.0.0.1:$port/ok:round-$round-$n
    b tag box "$name" >/dev/null 2>&1 && b push -q "$name" >/dev/null 2>&1 || return 0
    echo "round-$round-$n" >>"$1"
    b rmi "$name" >/dev/null 2>&1 || return 0
    n=$((n + 1))
  done
}
prune_many() { while b image prune -f >/dev/null 2>&1; do sleep 0.1; done; }

# --- what must hold afterwards ------------------------------------------------------------------------------------------

sound() {
  local said
  said=$(LIMIT=120 b system check 2>&1) || { echo "system check: $said"; return 1; }
  is "" "$(find "$work/main/data/layers/.staging" -mindepth 1 2>/dev/null)" "staged layers"
}
whole_image() { # repository: its files are all there
  b save "$(image_in "$1")" -o "$work/saved.tar"
  local sum
  sum=$(tar -xOf "$work/saved.tar" manifest.json | grep -o '"Layers":\[[^]]*\]' | tr ',' '\n' | grep -c '"')
  is 3 "$sum" "layers of $1"
}
as_acknowledged() { # repository notes
  local last
  last=$(tail -n 1 "$2")
  case $last in
    pulled) present "$1" || { echo "$1 was pulled, and is gone"; return 1; } ;;
    removed) ! present "$1" || { echo "$1 was removed, and is back"; return 1; } ;;
    pulling | removing) ;; # both are right
  esac
  ! present "$1" || whole_image "$1"
}
at_registry() { # base URL, repository, tag: whole, as the registry tells it
  local manifest digest
  manifest=$(curl -fs --max-time 20 -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "$1/v2/$2/manifests/$3") ||
    { echo "$2:$3 was pushed, and is not there"; return 1; }
  while read -r digest; do
    is "${digest#sha256:}" "$(curl -fs --max-time 60 "$1/v2/$2/blobs/$digest" | sha256sum | cut -d' ' -f1)" "blob of $2:$3"
  done < <(grep -o 'sha256:[0-9a-f]\{64\}' <<<"$manifest" | sort -u)
}

engine_killed() { # round
  local round=$1 notes=$work/round.$1 worker workers=() repository tag
  mkdir "$notes"
  touch "$notes/pushed"
  for repository in ok-a ok-b ok-c; do
    come_and_go $repository "$notes/$repository" &
    workers+=($!)
  done
  push_many "$notes/pushed" &
  workers+=($!)
  prune_many &
  workers+=($!)
  eventually 10 test -s "$notes/ok-c"
  sleep "$((RANDOM % 3000 * slowness))e-3"
  engine_kill
  for worker in "${workers[@]}"; do wait "$worker" || true; done
  engine_start main
  sound
  b inspect box >/dev/null
  for repository in ok-a ok-b ok-c; do as_acknowledged $repository "$notes/$repository"; done
  while read -r tag; do at_registry "http://127.0.0.1:$port" ok "$tag"; done <"$notes/pushed"
}
all_again() {
  local repository
  for repository in ok-a ok-b ok-c; do
    b pull -q "$(image_in $repository)" >/dev/null
    whole_image $repository
  done
  sound
  for repository in ok-a ok-b ok-c; do b rmi "$(image_in $repository)" >/dev/null; done
  is 1 "$(b images -q | sort -u | wc -l)" "images"
  b image prune -f >/dev/null
  is hello "$(b run --rm --network none box echo hello)"
  sound
}
# Rounds without number must not fill the disk with what nobody refers to.
no_garbage() {
  eventually 20 only_box_is_stored || { find "$work/main/data/layers" "$work/main/data/blobs" -mindepth 1 -maxdepth 2; return 1; }
}
only_box_is_stored() { [ "$(find "$work/main/data/layers" -mindepth 1 -maxdepth 1 ! -name '.*' | wc -l)" = 1 ]; }

# --- berth-registry -------------------------------------------------------------------------------------------------------

own_registry_start() {
  cat >"$work/registry.yml" <<YAML
version: 0.1
storage:
  filesystem:
    rootdirectory: $work/registry-data
http:
  addr: 127.0.0.1:$own_port
YAML
  setsid berth-registry serve "$work/registry.yml" >>"$work/own-registry.log" 2>&1 </dev/null &
  echo $! >"$work/own-registry.pid"
  disown $!
  eventually 20 curl -fs --max-time 5 -o /dev/null "http://127.0.0.1:$own_port/v2/"
}
own_registry_kill() {
  kill -9 "$(cat "$work/own-registry.pid")"
  eventually 10 gone "$(cat "$work/own-registry.pid")"
}
all_pushed_is_whole() { # list...
  local name tag
  while read -r name tag; do at_registry "http://127.0.0.1:$own_port" "killed/$name" "$tag"; done < <(cat "$@")
}
registry_killed() { # round
  local n=0 name pushed=$work/pushed.$1 worker
  touch "$pushed"
  (
    set +e
    while :; do
      name=127.0.0.1:$own_port/killed/r$((n % 3)):t$1-$n
      b tag box "$name" >/dev/null 2>&1
      b push -q "$name" >/dev/null 2>&1 && echo "r$((n % 3)) t$1-$n" >>"$pushed"
      b rmi "$name" >/dev/null 2>&1
      n=$((n + 1))
      [ ! -e "$pushed.end" ] || break
    done
  ) &
  worker=$!
  sleep "$((RANDOM % 1500 * slowness))e-3"
  own_registry_kill
  touch "$pushed.end"
  own_registry_start
  wait $worker || true
  all_pushed_is_whole "$pushed"
  # What was cut off can be done again.
  b tag box "127.0.0.1:$own_port/killed/r0:again"
  b push -q "127.0.0.1:$own_port/killed/r0:again" >/dev/null
  b rmi "127.0.0.1:$own_port/killed/r0:again" >/dev/null
  at_registry "http://127.0.0.1:$own_port" killed/r0 again
}

# --- the list --------------------------------------------------------------------------------------------------------------

python3 tests/hostile_registry.py >"$work/ports" 2>"$work/registry.errors" </dev/null &
echo $! >"$work/registry.pid"
disown $!
trap 'registry_end; clean_up' EXIT
eventually 10 test -s "$work/ports"
read -r port _ <"$work/ports"
engine_start main
image_make box
for ((round = 1; round <= rounds; round++)); do case_of "engine killed, round $round" engine_killed "$round"; done
case_of "everything can be done again" all_again
case_of "nothing is kept that nobody refers to" no_garbage

if command -v berth-registry >/dev/null; then
  own_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  case_of "berth-registry starts" own_registry_start
  for ((round = 1; round <= rounds; round++)); do case_of "registry killed, round $round" registry_killed "$round"; done
  case_of "what was pushed in any of the rounds is whole" all_pushed_is_whole "$work"/pushed.*[0-9]
  [ ! -s "$work/own-registry.pid" ] || own_registry_kill
fi
registry_end
finish
