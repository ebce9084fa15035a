#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is wrong is refused: with the right exit status or HTTP status, with one clear sentence, and leaving nothing.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

traces() { # what may not have changed
  b ps -aq --no-trunc | sort
  find "$work/main/data/containers" "$work/main/data/volumes" "$work/main/run/containers" -mindepth 1 -maxdepth 1 ! -name .removed | sort
  b images -q | sort
}
same_traces() { [ "$(traces)" = "$(cat "$work/before")" ]; }
nothing_changed() {
  eventually 5 same_traces || { traces | diff "$work/before" -; return 1; }
}
# A group of cases, after which everything is as it was.
group() { # name
  traces >"$work/before"
  "$1"
  case_of "$1: nothing came of it" nothing_changed
}

bad_run() { # exit status, words, arguments of run...
  case_of "run ${*:3}" refused "$1" "$2" b run --rm "${@:3}"
}
bad() { # exit status, words, command...
  case_of "${*:3}" refused "$1" "$2" b "${@:3}"
}

http_refused() { # status words method path [body]
  local status=$1 words=$2 method=$3 path=$4
  shift 4
  if [ $# = 0 ]; then set -- "$(http "$method" "$path")"; else set -- "$(http_json "$method" "$path" "$1")"; fi
  is "$status" "$1" "status of $method $path, which said: $(head -c 300 "$work/answer" 2>/dev/null)"
  grep -qE '^\{"message":"([^"\\]|\\["\\/tu])+"\}[[:space:]]*$' "$work/answer" || { echo "no clear sentence: $(head -c 300 "$work/answer")"; return 1; }
  grep -qiE -- "$words" "$work/answer" || { echo "wanted /$words/ in $(cat "$work/answer")"; return 1; }
}
bad_http() { case_of "$3 ${4:0:60} ${5:+: ${5:0:70}}" http_refused "$@"; }

flags() {
  bad 1 'unknown command' nonsense
  bad_run 125 'unknown flag.*nonsense' --nonsense box true
  bad 1 'requires at least 1 argument' run
  bad_run 125 'no-such-image' no-such-image true
  bad_run 125 'invalid reference' 'Bad Image!' true
  bad_run 125 'invalid reference' '../../etc/passwd' true
  bad_run 125 'no-such-user|nosuch' -u nosuch box true
  bad_run 125 'out of range|99999999999' -u 99999999999 box true
  bad_run 125 'out of range|4294967296' -u 4294967296 box true # would be root if it wrapped
  bad_run 125 '\-1' -u -1 box true
  bad_run 125 'nosuch' -u 0:nosuch box true
  bad_run 125 '/dev/nosuch' --device /dev/nosuch box true
  bad_run 125 'nofile=abc' --ulimit nofile=abc box true
  bad_run 125 'soft limit' --ulimit nofile=10:5 box true
  bad_run 125 'ulimit type: foo' --ulimit foo=1 box true
  bad_run 125 'kernel.panic' --sysctl kernel.panic=1 box true
  bad_run 125 'sysctl' --sysctl net.ipv4.ip_forward/../../../kernel/panic=1 box true
  bad_run 125 'NOSUCH' --cap-add NOSUCH box true
  bad_run 125 'NOSUCH' --cap-drop NOSUCH box true
  bad_run 125 'nosuch=1' --security-opt nosuch=1 box true
  bad_run 125 '/nosuch' --security-opt seccomp=/nosuch box true
  bad_run 125 'does not exist.*/nosuch' --mount type=bind,source=/nosuch/x,target=/m box true
  bad_run 125 'target|destination' --mount type=bind,source=/tmp box true
  bad_run 125 'absolute' -v /tmp:relative box true
  bad_run 125 "invalid|'/'" -v /tmp:/ box true
  bad_run 125 'invalid characters|UPPER' -v 'UPPER!:/x' box true
  bad_run 125 'duplicate' -v /tmp:/x -v /var:/x box true
  bad_run 125 'absolute' -w relative box true
  bad_run 125 'memory limit' -m 1k box true
  bad_run 125 'memory.*swap|swap' -m 64m --memory-swap 32m box true
  bad_run 125 'CPUs' --cpus 1000 box true
  bad_run 125 'cpuset|99' --cpuset-cpus 99 box true
  bad_run 125 'nosuch' --network nosuch box true
  bad_run 125 'nosuch' --network container:nosuch box true
  bad_run 125 '99999' -p 99999:1 box true
  bad_run 127 'nosuchprogram.*not found' box nosuchprogram
  bad_run 126 'permission denied|is a directory' box /etc
  bad_run 126 'permission denied' box /etc/passwd
  bad_run 125 'signal' --stop-signal FOO box true
  bad_run 125 'hostname' --hostname 'bad host' box true
  bad_run 125 'absolute' --tmpfs relative box true
  bad_run 125 'tmpfs|nosuchoption' --tmpfs /t:nosuchoption box true
  bad_run 125 '\.\.|cgroup|control group' --cgroup-parent ../../x box true
  bad_run 125 'log driver' --log-driver nosuch box true
  bad_run 125 'max-size' --log-opt max-size=abc box true
  bad_run 125 'oom' --oom-score-adj 5000 box true
  bad_run 125 'runtime' --runtime nosuch box true
  bad_run 125 'IPC' --ipc nosuch box true
  bad_run 125 '/nosuch' --env-file /nosuch box true
  bad_run 125 'notanip' --dns notanip box true
}

names() {
  local name
  for name in '' -x .x /x ../x 'a b' $'new\nline' $'tab\t' 'a;b' '$(id)' 'ä' "$(printf 'x%.0s' {1..5000})"; do
    [ -n "$name" ] || continue
    case_of "name $(printf %q "${name:0:20}")" refused 125 'invalid|name|too long' b run --rm "--name=$name" box true
  done
  bad 1 'No such container.*nosuch' rm nosuch
  bad 1 'No such container.*nosuch' start nosuch
  bad 1 'No such container.*nosuch' stop nosuch
  bad 1 'No such container.*nosuch' kill nosuch
  bad 1 'No such container.*nosuch' logs nosuch
  bad 1 'No such container.*nosuch' exec nosuch true
  bad 1 'No such container.*nosuch' attach nosuch
  bad 1 'No such container.*nosuch' wait nosuch
  bad 1 'No such container.*nosuch' cp nosuch:/etc/passwd /tmp/berth-never
  bad 1 'No such container.*nosuch' commit nosuch never
  bad 1 'No such (object|container|image).*nosuch' inspect nosuch
  bad 1 'No such image.*nosuch' rmi nosuch
  bad 1 'nosuch' save -o "$work/never.tar" nosuch
  bad 1 'already in use.*remove' rename box-a box-b
  bad 1 'already in use' create --name box-a box true
  case_of "run with a name in use" refused 125 'already in use' b run --name box-a box true
}

json() {
  local deep
  deep=$(printf '[%.0s' {1..100000})
  bad_http 400 'json|invalid|EOF|parse' POST /containers/create '{"Image": '
  bad_http 400 'json|invalid' POST /containers/create 'nonsense'
  bad_http 400 '.' POST /containers/create ''
  bad_http 400 '.' POST /containers/create '[]'
  bad_http 400 '.' POST /containers/create '{"Image": 5}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "Cmd": {"a": 1}}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "HostConfig": {"Memory": "much"}}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "HostConfig": {"Memory": 1e40}}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "HostConfig": {"Memory": -5}}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "HostConfig": {"Binds": ["/tmp"]}}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "HostConfig": {"Binds": ["/tmp:/a:nosuchmode"]}}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "Env": ["A=b\u0000c"]}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "Cmd": ["a\u0000b"]}'
  bad_http 400 '.' POST /containers/create '{"Image": "box", "WorkingDir": "/a\u0000b"}'
  bad_http 400 '.' POST /containers/create "$deep"
  bad_http 404 'No such image' POST /containers/create '{"Image": "nosuch"}'
  bad_http 404 'No such container' GET /containers/nosuch/json
  bad_http 404 'No such container' POST /containers/0123456789abcdef/start
  bad_http 404 'No such exec' GET /exec/nosuch/json
  bad_http 404 'page not found|no such|not found' GET /no/such/page
  bad_http 400 'version' GET /v1.1/info
  bad_http 400 'version' GET /v9.99/info
  bad_http 400 '.' GET '/containers/json?filters=nonsense'
  bad_http 400 '.' GET '/containers/json?filters=%7B%22nosuch%22%3A%5B%221%22%5D%7D'
  bad_http 400 '.' GET '/containers/json?limit=abc'
  bad_http 400 'at least one stream' GET '/containers/box-a/logs'
  bad_http 400 '.' GET '/containers/box-a/logs?stdout=1&tail=abc&since=xyz'
  bad_http 400 'signal' POST '/containers/box-a/kill?signal=NOSUCH'
  bad_http 409 'not running' POST '/containers/box-a/kill'
  bad_http 400 '.' POST '/containers/box-a/update' '{"Memory": -7}'
  bad_http 400 '.' POST '/containers/box-a/exec' '{"Cmd": []}'
  bad_http 409 'not running' POST '/containers/box-a/exec' '{"Cmd": ["true"]}'
  bad_http 404 '.' GET '/containers/box-a/archive?path=/nosuch'
  bad_http 400 '.' GET '/containers/box-a/archive'
}

raw_request() { # what the answer starts with, the request
  local answer
  answer=$(printf '%b' "$2" | timeout 20 socat -t 2 - "UNIX-CONNECT:$work/main/berth.sock" | head -n 1 | tr -d '\r')
  contains "$answer" "$1"
  engine_answers main
}
long_line() {
  { printf 'GET /'; head -c 2000000 /dev/zero | tr '\0' a; printf ' HTTP/1.1\r\nHost: x\r\n\r\n'; } |
    timeout 20 socat -t 2 - "UNIX-CONNECT:$work/main/berth.sock" >"$work/long" 2>&1 || true
  fails grep -q '^HTTP/1.1 [25]' "$work/long"
  engine_answers main
}
huge_body() {
  local before after status
  before=$(awk '/VmRSS/ {print $2}' "/proc/$(engine_pid main)/status")
  status=$({ printf '{"Image": "box", "Labels": {"a": "'; head -c 300000000 /dev/zero | tr '\0' a; printf '"}}'; } |
    http POST /containers/create -H 'Content-Type: application/json' -H 'Expect:' -T - || true)
  case $status in 4??) ;; *) echo "status $status: $(head -c 300 "$work/answer")"; return 1 ;; esac
  after=$(awk '/VmHWM/ {print $2}' "/proc/$(engine_pid main)/status")
  at_most $((before + 150000)) "$after" "kB of the engine's memory at its highest, $before before"
}
unfinished_requests() { # clients that stop in the middle cost nothing for long
  local _ pids=()
  for _ in {1..50}; do
    { printf 'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{'; sleep 2; } |
      timeout 10 socat - "UNIX-CONNECT:$work/main/berth.sock" >/dev/null 2>&1 &
    pids+=($!)
  done
  sleep 0.5
  engine_answers main
  wait "${pids[@]}" || true
}

# --- archives ---

tar_with() { # file, python that adds members to `t`
  $python - "$1" <<PYTHON
import io, sys, tarfile
t = tarfile.open(sys.argv[1], "w")
def add(name, data=b"evil", **more):
    m = tarfile.TarInfo(name)
    m.size = len(data)
    for key, value in more.items(): setattr(m, key, value)
    if m.type != tarfile.REGTYPE: m.size = 0
    t.addfile(m, io.BytesIO(data) if m.size else None)
$2
t.close()
PYTHON
}
python=/usr/bin/python3
[ -x $python ] || python=python3

archives() {
  head -c 100000 /dev/urandom >"$work/garbage"
  tar -C "$work/image" -cf "$work/whole.tar" .
  head -c 700000 "$work/whole.tar" >"$work/truncated"
  gzip -c "$work/whole.tar" | head -c 200000 >"$work/truncated.gz"
  : >"$work/empty"
  local file
  for file in garbage truncated truncated.gz; do
    bad 1 '.' import "$work/$file" never
    bad 1 '.' load -i "$work/$file"
  done
  bad 1 '.' load -i "$work/empty"
  bad 1 '.' load -i "$work/whole.tar" # a tar, but of no image
  bad 1 '.' import /nosuch.tar never
  bad 1 '.' import "$work/whole.tar" 'Bad Name!'
  tar_with "$work/manifest" 'add("manifest.json", b"[{\"Config\": \"../../../../etc/passwd\", \"RepoTags\": [\"x:y\"], \"Layers\": [\"../../../../etc/shadow\"]}]")'
  bad 1 '.' load -i "$work/manifest"
  tar_with "$work/manifest2" 'add("manifest.json", b"[{\"Config\": \"c.json\", \"RepoTags\": [\"x:y\"], \"Layers\": [\"l.tar\"]}]"); add("c.json", b"{\"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"sha256:" + b"0" * 64 + b"\"]}}"); add("l.tar", b"no layer")'
  bad 1 '.' load -i "$work/manifest2"
  tar_with "$work/links" 'add("manifest.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")'
  bad 1 '.' load -i "$work/links"
}

# Traversal is refused, or lands inside; either way nothing outside is touched.
traversal() { # title, python
  rm -rf "$work/outside"
  mkdir "$work/outside"
  echo untouched >"$work/outside/file"
  tar_with "$work/traversal" "outside = '$work/outside'
up = '../' * 20 + outside.lstrip('/')
$2"
  local status=0
  b import "$work/traversal" "traversal" || status=$?
  [ $status -le 1 ]
  status=0
  b cp - box-a:/tmp <"$work/traversal" || status=$?
  [ $status -le 1 ]
  is untouched "$(cat "$work/outside/file")"
  is "file" "$(ls -A "$work/outside")"
  b rmi -f traversal || true
}
traversals() {
  case_of "archive with .." traversal 'add(up + "/file"); add(up + "/new")'
  case_of "archive with absolute names" traversal 'add(outside + "/file"); add(outside + "/new")'
  case_of "archive through a symbolic link" traversal 'add("l", type=tarfile.SYMTYPE, linkname=outside); add("l/file"); add("l/new")'
  case_of "archive through a relative link" traversal 'add("l", type=tarfile.SYMTYPE, linkname=up); add("l/file"); add("l/new")'
  case_of "archive that writes through a link" traversal 'add("l", type=tarfile.SYMTYPE, linkname=outside + "/file"); add("l")'
  case_of "archive with a hard link outside" traversal 'add("l", type=tarfile.LNKTYPE, linkname=outside + "/file"); add("l"); add("m", type=tarfile.LNKTYPE, linkname=up + "/file"); add("m")'
  case_of "archive that swaps a directory for a link" traversal 'add("d", type=tarfile.DIRTYPE); add("d", type=tarfile.SYMTYPE, linkname=outside); add("d/file"); add("d/new")'
  case_of "archive with whiteouts through a link" traversal 'add("l", type=tarfile.SYMTYPE, linkname=outside); add("l/.wh.file", b""); add("l/.wh..wh..opq", b"")'
}

bytes() { # that are no request of anyone's
  case_of "no HTTP" raw_request "HTTP/1.1 400" 'nonsense\r\n\r\n'
  case_of "two lengths" raw_request "HTTP/1.1 400" 'GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'
  case_of "a length and chunks" raw_request "HTTP/1.1 400" \
    'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  case_of "a negative length" raw_request "HTTP/1.1 400" 'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n'
  case_of "a chunk of nonsense" raw_request "HTTP/1.1 400" \
    'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n'
  case_of "a line of 2 MB" long_line
  case_of "a body of 300 MB" huge_body
  case_of "fifty clients that stop in the middle" unfinished_requests
}

engine_start main || exit 1
image_make
b create --name box-a box true >/dev/null
b create --name box-b box true >/dev/null
for topic in flags names json bytes archives traversals; do group $topic; done
finish
