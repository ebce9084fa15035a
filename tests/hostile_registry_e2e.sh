#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Pulls from and pushes to a registry that lies (hostile_registry.py): the right exit status within a bounded time, one
# sentence that names the thing, flat memory, nothing partial to be seen, and a following honest pull works.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "SKIP: needs python3"; exit 77; }

memory_limit=$((64 * 1024 * slowness)) # kB that an engine may grow by

registry_start() { # name: its addresses are in $work/NAME.ports, its process in $work/NAME.registry
  python3 tests/hostile_registry.py >"$work/$1.ports" 2>"$work/$1.errors" </dev/null &
  echo $! >"$work/$1.registry"
  disown $!
  eventually 10 test -s "$work/$1.ports"
}
registry_use() { read -r port _ <"$work/$1.ports"; }
registry_end() { kill "$(cat "$work/$1.registry")" 2>/dev/null || true; }
asked() { curl -s --max-time 20 "http://127.0.0.1:$port/_$1"; }

# Of what failed nothing is to be seen: no image, no layer, and of blobs only whole ones, which the next attempt finds
# there. (What it can go on with is in blobs/ingest, without a name.)
only_whole() { # engine
  local file
  for file in "$work/$1/data/blobs/sha256"/*; do
    [ -f "$file" ] || continue
    is "$(basename "$file")" "$(sha256sum "$file" | cut -d' ' -f1)" "digest of a blob that stayed"
  done
  is "" "$(find "$work/$1/data/layers/.staging" -mindepth 1 2>/dev/null)" "staged layers"
  is "" "$(b images -aq)" "images"
  is "" "$(find "$work/$1/data/blobs/damaged" -type f 2>/dev/null)" "whole blobs that were set aside"
  eventually 10 no_layers "$1" || { ls "$work/$1/data/layers"; return 1; }
}

no_layers() { [ -z "$(find "$work/$1/data/layers" -mindepth 1 -maxdepth 1 ! -name '.*')" ]; }

resident() { awk -v key="$2:" '$1 == key {print $2}' "/proc/$(engine_pid "$1")/status"; }
memory_mark() { # engine
  echo 5 >"/proc/$(engine_pid "$1")/clear_refs"
  resident "$1" VmRSS >"$work/$1.memory"
}
memory_flat() { # engine
  at_most "$memory_limit" $(($(resident "$1" VmHWM) - $(cat "$work/$1.memory"))) "kB that the engine grew by"
}

# One sentence or two, no crash, no bytes of the registry's that a terminal would act on.
clear_words() { # regex
  grep -qiE -- "$1" <<<"$said" || { echo "wanted /$1/ in: ${said:0:500}"; return 1; }
  at_most 900 "${#said}" "length of the message ${said:0:200}"
  ! grep -qP '[\x00-\x08\x0b-\x1f\x7f]' <<<"$(tr -d '\r\n\t' <<<"$said")" || { echo "control bytes in the message"; return 1; }
}

pull_of() { # repository[:tag|@digest|/], the slash for no tag at all
  case $1 in */) echo "127.0.0.1:$port/${1%/}" ;; *[:@]*) echo "127.0.0.1:$port/$1" ;; *) echo "127.0.0.1:$port/$1:1" ;; esac
}
seconds_of() { echo $(($(date +%s) - $1)); }

# --- pulls ---------------------------------------------------------------------------------------------------------

pull_refused() { # engine seconds regex repository [flag...]
  local engine=$1 seconds=$2 words=$3 repository=$4 begin said
  shift 4
  engine_use "$engine"
  begin=$(date +%s)
  LIMIT=$((seconds + 30)) exits 1 b pull -q "$@" "$(pull_of "$repository")"
  at_most $((seconds * slowness)) "$(seconds_of "$begin")" "seconds, to say: ${said:0:200};"
  echo "$repository: $(seconds_of "$begin") s: $said" >>"$work/said"
  clear_words "$words"
  engine_answers "$engine"
}
bad_pull() { # seconds regex repository [flag...]
  case_of "pull ${*:3}" bad_pull_case "$@"
}
bad_pull_case() {
  b images -aq | sort -u | xargs -r timeout 60 berth rmi -f >/dev/null # of a case that failed
  memory_mark main
  pull_refused main "$@"
  only_whole main
  memory_flat main
}

pull_works() { # repository
  memory_mark main
  LIMIT=60 b pull "$(pull_of "$1")" >/dev/null
  is "$(printf 'hello\n')" "$(file_of "$(pull_of "$1")" etc/hello)"
  is 8388608 "$(file_of "$(pull_of "$1")" data/random | wc -c)" "bytes of the large file"
  memory_flat main
  b rmi "$(pull_of "$1")" >/dev/null
  only_whole main
}
good_pull() { case_of "pull $1 works" pull_works "$1"; }
file_of() { # image path
  b save "$1" -o "$work/saved.tar"
  rm -rf "$work/saved"
  mkdir "$work/saved"
  tar -xf "$work/saved.tar" -C "$work/saved"
  local layer
  for layer in "$work"/saved/*/layer.tar "$work"/saved/blobs/sha256/*; do
    tar -xOf "$layer" "$2" 2>/dev/null && return
  done
  return 1
}

# --- what takes long: all at the same time, in an engine of their own, while the others run -------------------------

slow_cases() { # seconds regex repository
  cat <<'LIST'
100 bytes a second|slow|timed out|seconds|nothing came;slow
slow|nothing came|timed out;slow-manifest
nothing came|timed out|answer;stall
nothing came|timed out;stall-body
nothing came|timed out|bytes a second;stall-drip
nothing came|timed out|answer;stall-manifest
503|come back|unavailable;503-next-year
503|come back|unavailable;503-always
429|come back|too many;429-always
ended too early|download|closed|cut;truncate-always
LIST
}
slow_seconds=300
slow_begin() {
  engine_use slow
  memory_mark slow
  local words repository
  while IFS=';' read -r words repository; do
    (
      set +e
      begin=$(date +%s)
      LIMIT=$((slow_seconds + 60)) b pull -q "$(pull_of "$repository")" >"$work/slow-$repository.said" 2>&1
      echo $? "$(seconds_of "$begin")" >"$work/slow-$repository.status"
    ) </dev/null &
    disown $!
  done < <(slow_cases)
}
slow_end() { # regex repository
  local status seconds said
  eventually $((slow_seconds + 70)) test -s "$work/slow-$2.status"
  read -r status seconds <"$work/slow-$2.status"
  said=$(cat "$work/slow-$2.said")
  is 1 "$status" "exit status, with: ${said:0:300};"
  at_most $((slow_seconds * slowness)) "$seconds" "seconds, to say: ${said:0:200};"
  clear_words "$1"
  echo "$2: $seconds s: $said" >>"$work/said"
}
slow_all() {
  engine_use slow
  engine_answers slow
  only_whole slow
  memory_flat slow
}
slow_recovers() {
  engine_use slow
  LIMIT=60 b pull -q "$(pull_of ok)" >/dev/null
  b rmi "$(pull_of ok)" >/dev/null
}

# --- bombs: on a small disk, since filling it is the damage that they would do ----------------------------------------

bomb() { # repository
  engine_use bombs
  memory_mark bombs
  pull_refused bombs 120 'more than|bytes|space|limit|full' "$1"
  only_whole bombs
  memory_flat bombs
  at_most 50000 "$(df -k --output=used "$work/bombs/data" | tail -n 1)" "kB that stay on the disk"
  is "" "$(find "$work/bombs/data/blobs/ingest" -type f)" "partial blobs"
}
bombs_end() {
  ends_clean bombs
  umount "$work/bombs/data"
  rm -f "$work/bombs/engine.pid"
}

# --- redirects and tokens ---------------------------------------------------------------------------------------------

no_leak() { # repository
  asked forget
  pull_works "$1"
  contains "$(asked log)" "Bearer very-secret"
  contains "$(asked other)" "/v2/$1/blobs/"
  lacks "$(asked other)" "Authorization"
  lacks "$(asked other)" "authorization"
}

# --- pushes -----------------------------------------------------------------------------------------------------------

push_refused() { # seconds regex repository
  local begin said
  engine_use main
  memory_mark main
  b tag box "$(pull_of "$3")"
  begin=$(date +%s)
  LIMIT=$(($1 + 30)) exits 1 b push -q "$(pull_of "$3")"
  at_most $(($1 * slowness)) "$(seconds_of "$begin")" "seconds, to say: ${said:0:200};"
  echo "push $3: $(seconds_of "$begin") s: $said" >>"$work/said"
  clear_words "$2"
  b rmi "$(pull_of "$3")" >/dev/null
  b inspect box >/dev/null # is untouched
  memory_flat main
}
bad_push() { case_of "push $3" push_refused "$@"; }
push_and_back() {
  b tag box "$(pull_of ok:pushed)"
  b push -q "$(pull_of ok:pushed)"
  b rmi "$(pull_of ok:pushed)" box >/dev/null
  b pull -q "$(pull_of ok:pushed)" >/dev/null
  b tag "$(pull_of ok:pushed)" box
  b rmi "$(pull_of ok:pushed)" >/dev/null
  is hello "$(b run --rm --network none box echo hello)"
}
push_does_not_leak() {
  asked forget
  b tag box "$(pull_of up-elsewhere)"
  LIMIT=60 b push -q "$(pull_of up-elsewhere)" >/dev/null 2>&1 || true
  lacks "$(asked other)" very-secret
  b rmi "$(pull_of up-elsewhere)" >/dev/null
}

connections_of() { ss -Htnp state established "dport = :$port" | grep -c "pid=$(engine_pid "$1"),"; }
hears_nobody() { [ "$(connections_of main || true)" = 0 ]; }
uploads_hang() { asked log | grep -q '"PATCH", "path": "/v2/up-stall/'; }
push_is_cancelled() { # the engine lets go of a registry that neither reads nor answers
  command -v ss >/dev/null || skip "there is no ss"
  asked forget
  b tag box "$(pull_of up-stall)"
  timeout 60 berth push -q "$(pull_of up-stall)" >/dev/null 2>&1 &
  local pusher=$!
  eventually 20 uploads_hang
  ! hears_nobody || { echo "no connection is seen"; return 1; }
  kill -TERM "$pusher" # timeout(1) passes it on
  eventually 10 hears_nobody # silence alone ends it after 30 s
  wait "$pusher" || true
  b rmi "$(pull_of up-stall)" >/dev/null
}
# A listener whose queue takes connections that nobody ever reads.
mute_start() {
  python3 -c '
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
open(sys.argv[1] + ".new", "w").write("%d\n" % listener.getsockname()[1])
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(3600)' "$work/mute.ports" &
  echo $! >"$work/mute.registry"
  disown $!
  eventually 10 test -s "$work/mute.ports"
}
pull_of_the_mute() { # flag...
  berth pull -q "$@" "127.0.0.1:$port/box" >/dev/null 2>&1 </dev/null &
  puller=$!
  eventually 20 hears_somebody
}
hears_somebody() { ! hears_nobody; }
mute_is_let_go() { # flag...
  command -v ss >/dev/null || skip "there is no ss"
  local port puller flags
  read -r port <"$work/mute.ports"
  for flags in "" -a; do
    # shellcheck disable=SC2086 # none, or one
    pull_of_the_mute $flags
    kill -KILL "$puller"
    eventually 2 hears_nobody
  done
}
mute_does_not_hold_the_engine() {
  command -v ss >/dev/null || skip "there is no ss"
  local port puller begin
  read -r port <"$work/mute.ports"
  pull_of_the_mute
  begin=$(date +%s%N)
  kill -TERM "$(engine_pid main)"
  eventually 20 gone "$(engine_pid main)"
  at_most $((5000 * slowness)) $((($(date +%s%N) - begin) / 1000000)) "milliseconds to the engine's end"
  wait "$puller" || true
  engine_start main
}
no_layers_at_all() { # as `FROM scratch` with labels alone makes it
  b pull -q "$(pull_of layers-0)" >/dev/null
  is '[/hello]' "$(b inspect -f '{{.Config.Cmd}}' "$(pull_of layers-0)")"
  is '[]' "$(b inspect -f '{{json .RootFS.Layers}}' "$(pull_of layers-0)" | sed 's/null/[]/')"
  b rmi "$(pull_of layers-0)" >/dev/null
  only_whole main
}

# --- the list ---------------------------------------------------------------------------------------------------------

registry_start slow
registry_start main
registry_use slow
engine_start slow
slow_begin
engine_start main
registry_use main

good_pull ok
good_pull ok-index
good_pull ok-duplicate-layers
good_pull truncate
good_pull range-200
good_pull 503-burst
good_pull 429-burst
good_pull token-ok
good_pull label-zstd
good_pull label-plain
good_pull length-larger # what is promised behind the layer's end is not waited for
case_of "a redirect to another host takes no credentials along" no_leak redirect-elsewhere

bad_pull 40 'damaged|other bytes' wrong-layer
bad_pull 40 'other bytes' wrong-gzip-time
bad_pull 40 'digest|other bytes' wrong-config
bad_pull 40 'digest' wrong-manifest
bad_pull 60 'early|download|bytes|another part' length-smaller
bad_pull 60 'another part|range|early' range-wrong
bad_pull 40 'more than|bytes|damaged' endless-blob
bad_pull 60 'longer|bytes' endless-manifest
bad_pull 60 'longer|bytes' endless-tags/ -a
bad_pull 60 'longer|bytes|token' endless-token
bad_pull 60 'header|head' endless-headers
bad_pull 60 'header|head' endless-blob-headers
bad_pull 60 'redirect' redirect-loop
bad_pull 60 'redirect' redirect-loop-manifest
bad_pull 40 'address|redirect' redirect-file
bad_pull 40 'address|redirect' redirect-gopher
bad_pull 40 'both|manifest' both
bad_pull 40 'digest' digest-path
bad_pull 40 'digest' digest-upper
bad_pull 40 'digest' digest-short
bad_pull 40 'digest|sha512|not supported' digest-512
bad_pull 40 'digest' digest-config-path
bad_pull 40 'size' size-negative
bad_pull 60 'size|bytes|space|early' size-huge
bad_pull 40 'size|bytes' size-smaller
bad_pull 40 'size|bytes|early' size-larger
bad_pull 40 'unauthorized|authenti' 401-loop
bad_pull 40 'unauthorized|authenti|log in' 401-basic
bad_pull 40 'WWW-Authenticate|malformed' 401-nonsense
bad_pull 40 'address|token server' 401-file
bad_pull 40 'token' token-html
bad_pull 40 'token' token-empty
bad_pull 40 'not supported|foreign|nondistributable|application/x-evil' label-unknown
bad_pull 40 'nondistributable.*not supported' foreign
bad_pull 40 'layer|archive|tar' not-a-tar
bad_pull 40 'schema' schema-1
bad_pull 60 'longer|bytes|limit' manifest-5mb
bad_pull 40 'size|bytes' manifest-size
bad_pull 40 'JSON' manifest-text
bad_pull 40 'JSON|deep|nest' manifest-deep
bad_pull 40 'manifest' manifest-array
bad_pull 40 'JSON' manifest-html
case_of "an image without layers is pulled" no_layers_at_all
bad_pull 40 'layers' layers-1000
bad_pull 60 'layers|bytes|limit' layers-20000
bad_pull 60 'layers|bytes|limit' layers-100000
bad_pull 40 'config' config-text
bad_pull 40 'config' config-deep
bad_pull 40 'layers' config-fewer
bad_pull 40 'layer|promised|digest' config-wrong
bad_pull 60 'bytes|limit' config-20mb
bad_pull 40 'windows' config-windows
bad_pull 40 'windows' index-windows
bad_pull 40 'nested|deep' index-nested
bad_pull 40 'digest' index-self
bad_pull 60 'tags|longer' tags-million/ -a
bad_pull 60 'tags|end' tags-loop/ -a
bad_pull 60 'tags|more than|end' tags-onward/ -a
bad_pull 40 'another server: not followed' tags-elsewhere/ -a
bad_pull 40 'not found|not known' nosuch
bad_pull 40 'unknown|not found' ok:nosuch
good_pull ok

mkdir -p "$work/bombs/data"
mount -t tmpfs -o size=1500m tmpfs "$work/bombs/data"
engine_start bombs
for each in bomb-gzip bomb-zstd bomb-padding-gzip bomb-padding-zstd; do case_of "pull $each" bomb $each; done
case_of "the small disk's engine ends" bombs_end
engine_use main

image_make box
case_of "a push and a pull of it" push_and_back
bad_push 60 'Location' up-no-location
bad_push 60 'address' up-file
case_of "an upload that is led to another host takes no credentials along" push_does_not_leak
bad_push 60 'stored|digest' up-wrong-digest
bad_push 90 'luck|500' up-500
bad_push 90 'upload|connection|closed|reset' up-cut
bad_push 60 'too large|413' up-413
bad_push 60 'no pushing here' up-403
bad_push 60 'upload|answer|200' up-endless
case_of "a cancelled push lets go of a registry that stopped reading" push_is_cancelled
bad_push 100 'within the time allowed' up-stall
mute_start
case_of "a pull that is killed lets go of a registry that says nothing" mute_is_let_go
case_of "a pull from a registry that says nothing does not hold the engine's end up" mute_does_not_hold_the_engine
registry_end mute
case_of "a push and a pull of it, after all that" push_and_back
b rmi box >/dev/null
good_pull ok

engine_use slow
registry_use slow
while IFS=';' read -r words repository; do
  case_of "pull $repository" slow_end "$words" "$repository"
done < <(slow_cases)
case_of "the slow ones left nothing, and memory flat" slow_all
case_of "an honest pull after the slow ones" slow_recovers
engine_use main

registry_end main
registry_end slow
[ -z "${VERBOSE:-}" ] || cat "$work/said" # what users get to read
finish
