#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Docker's own command line against this engine: what its users do all day.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
command -v docker >/dev/null || { echo "SKIP: docker's command line is not installed"; exit 77; }

d() { timeout -k 5 $((${LIMIT:-40} * slowness)) docker "$@"; }

version() {
  contains "$(d version)" "API version"
  is 1.51 "$(d version -f '{{.Server.APIVersion}}')"
  contains "$(d info)" "Containers:"
  contains "$(DOCKER_API_VERSION=1.40 docker version)" "1.40"
}
run() {
  is hello "$(d run --rm box echo hello)"
  exits 42 d run --rm box sh -c 'exit 42'
  exits 127 d run --rm box nosuchprogram
  exits 126 d run --rm box /etc
  exits 125 d run --rm --nosuchflag box true
  is "in" "$(echo in | d run -i --rm box cat)"
  is "a=b" "$(d run --rm -e a=b box sh -c 'env | grep ^a=')"
  is "/tmp 1000" "$(d run --rm -w /tmp -u alice box sh -c 'echo $PWD $(id -u)')"
  d run --rm box sh -c 'echo out; echo err >&2' >"$work/out" 2>"$work/err"
  is "out err" "$(cat "$work/out") $(cat "$work/err")"
  contains "$(timeout 40 script -q -e -c 'docker run --rm -it box sh -c "tty; exit 0"' /dev/null </dev/null)" /dev/pts
}
life() {
  local id
  id=$(d run -d --name life --label team=a --health-cmd true --restart on-failure:2 box sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done')
  is "${id:0:12}" "$(d ps -q --filter name=life)"
  is "${id:0:12}" "$(d ps -q --filter label=team=a)"
  is "running true on-failure" "$(d inspect -f '{{.State.Status}} {{.State.Running}} {{.HostConfig.RestartPolicy.Name}}' life)"
  contains "$(d ps)" life
  contains "$(d top life)" sleep
  d pause life
  is paused "$(d inspect -f '{{.State.Status}}' life)"
  d unpause life
  d rename life lives
  d restart -t 5 lives
  d stop lives
  is "exited 3" "$(d inspect -f '{{.State.Status}} {{.State.ExitCode}}' lives)"
  is 3 "$(d wait lives)"
  d start lives
  d kill lives
  exits 1 d rm life
  d rm -f lives
  is "" "$(d ps -aq)"
}
exec_() {
  d run -d --name target box sleep 1000
  is hi "$(d exec target echo hi)"
  exits 9 d exec target sh -c 'exit 9'
  exits 127 d exec target nosuchprogram
  is "via stdin" "$(echo via stdin | d exec -i target cat)"
  is "1000 /tmp x" "$(d exec -u alice -w /tmp -e v=x target sh -c 'echo $(id -u) $PWD $v')"
  d exec -d target touch /tmp/made
  eventually 5 d exec target test -e /tmp/made
  d rm -f target
}
logs() {
  d run --name talk box sh -c 'echo one; echo two >&2; sleep 0.2; echo three' # two pipes have no order of their own
  is "one three" "$(d logs talk 2>/dev/null | xargs)"
  is two "$(d logs talk 2>&1 >/dev/null)"
  is three "$(d logs -n 1 talk 2>/dev/null)"
  d logs -t talk >"$work/stamped" 2>/dev/null
  grep -qE '^20[0-9]{2}-[0-9-]+T[0-9:.]+Z one$' "$work/stamped"
  is "" "$(d logs --until 1s --since 2100-01-01T00:00:00Z talk 2>&1)"
  d rm talk
}
copies() {
  d run -d --name files box sleep 1000
  mkdir -p "$work/tree/sub"
  echo content >"$work/tree/sub/file"
  ln -sf sub/file "$work/tree/link"
  d cp "$work/tree" files:/tmp/
  is content "$(d exec files cat /tmp/tree/link)"
  d cp files:/tmp/tree "$work/back"
  is "content sub/file" "$(cat "$work/back/sub/file") $(readlink "$work/back/link")"
  is content "$(d cp files:/tmp/tree/sub/file - | tar -xO)"
  tar -C "$work/tree" -c sub | d cp - files:/root
  is content "$(d exec files cat /root/sub/file)"
  exits 1 d cp files:/nosuch "$work/nosuch"
  contains "$(d diff files)" "A /root/sub"
  d rm -f files
}
images() {
  local id
  d run --name change box sh -c 'echo changed >/root/file'
  id=$(d commit -m message -c 'CMD ["cat", "/root/file"]' -c 'ENV A=b' change changed:1)
  is changed "$(d run --rm changed:1)"
  is "[A=b" "$(d inspect -f '{{.Config.Env}}' changed:1 | grep -o '\[A=b\|A=b' | head -n 1 | sed 's/^A/[A/')"
  d tag changed:1 other/name:2
  contains "$(d images)" other/name
  contains "$(d history changed:1)" message
  d save -o "$work/saved.tar" changed:1 other/name:2
  d rmi changed:1 other/name:2
  exits 1 d inspect changed:1
  contains "$(d load -i "$work/saved.tar")" "changed:1"
  is "$id" "$(d inspect -f '{{.Id}}' changed:1)"
  is changed "$(d run --rm other/name:2)"
  d export change | tar -xO root/file | grep -qx changed
  d export change | d import - flat
  is changed "$(d run --rm flat cat /root/file)"
  d rm change
  d rmi -f changed:1 other/name:2 flat
}
events() {
  local since
  since=$(date +%s)
  LIMIT=20 d events --filter container=seen --format '{{.Action}}' >"$work/events" &
  local pid=$!
  sleep 0.5
  d run --rm --name seen box true
  eventually 5 grep -q destroy "$work/events"
  kill $pid 2>/dev/null || true
  is "create start die destroy" "$(grep -xE 'create|start|die|destroy' "$work/events" | xargs)"
  is "create start die destroy" "$(d events --since "$since" --until "$(($(date +%s) + 1))" --filter container=seen --format '{{.Action}}' |
    grep -xE 'create|start|die|destroy' | xargs)"
}
limits() {
  d run -d --name limited -m 64m --cpus 0.5 --pids-limit 50 box sleep 1000
  is "67108864 500000000 50" "$(d inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' limited)"
  contains "$(d stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' limited)" "64MiB"
  d update -m 96m --memory-swap 96m --restart no limited
  is 100663296 "$(d inspect -f '{{.HostConfig.Memory}}' limited)"
  contains "$(d stats --no-stream --format '{{.MemUsage}}' limited)" "96MiB"
  d rm -f limited
}
binds() {
  mkdir -p "$work/bound"
  d run --rm -v "$work/bound:/b" box touch /b/made
  [ -e "$work/bound/made" ]
  exits 1 d run --rm -v "$work/bound:/b:ro" box sh -c 'echo x >/b/made'
  d run --rm -v kept:/data box sh -c 'echo saved >/data/file'
  is saved "$(d run --rm --mount type=volume,source=kept,target=/x,readonly box cat /x/file)"
}
attached() {
  d run -d -i --name echo box sh -c 'while read -r line; do echo "got $line"; done'
  { echo a; sleep 1; } | LIMIT=5 d attach echo >"$work/attached" &
  eventually 8 grep -q 'got a' "$work/attached"
  d rm -f echo
  wait
}
cleaning() {
  d create --name stale box true
  d container prune -f
  is "" "$(d ps -aq)"
  d system df
}

engine_start main || exit 1
image_make
case_of "version, info" version
case_of "run" run
case_of "the life of a container" life
case_of "exec" exec_
case_of "logs" logs
case_of "cp, diff" copies
case_of "commit, tag, save, load, export, import" images
case_of "events" events
case_of "limits, stats, update" limits
case_of "binds and volumes" binds
case_of "attach" attached
case_of "prune, df" cleaning
finish
