#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `berth build` tells: checks and the other calls, and progress in each of its forms.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"


# --- --check and --call --------------------------------------------------------------------------------------------

check_finds() {
  context <<<$'FROM box\nENV a b\nCMD echo hi'
  exits 1 b build --check .
  contains "$said" "Check complete, 2 warnings have been found!"
  contains "$said" "WARNING: LegacyKeyValueFormat"
  contains "$said" "WARNING: JSONArgsRecommended"
  contains "$said" $'Dockerfile:3\n--------------------\n   1 |     FROM box\n   2 |     ENV a b\n   3 | >>> CMD echo hi\n'
  exits 1 b build --call=check .
  exits 0 b build --call=check,ignorestatus=true .
  # On standard output, and nothing was built.
  contains "$(b build --check . 2>/dev/null || true)" LegacyKeyValueFormat
  context <<<$'FROM box\nRUN touch /built && exit 9\nCMD ["true"]'
  is "Check complete, no warnings found." "$(b build --check .)"
}
check_as_json() {
  context <<<$'FROM box\nCMD echo hi'
  b build --check --call check,format=json . >"$work/json" || true
  is "JSONArgsRecommended 2 Dockerfile" "$(python3 -c 'import json, sys; d = json.load(sys.stdin); w = d["warnings"][0]
print(w["ruleName"], w["location"]["ranges"][0]["start"]["line"], d["sources"][0]["fileName"])' <"$work/json")"
  exits 1 b build --call check,format=json .
}
check_is_told_what_to_skip() {
  context <<<$'# check=skip=JSONArgsRecommended\nFROM box\nCMD echo hi'
  exits 0 b build --check .
  exits 1 b build --check --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=StageNameCasing .
  context <<<$'# check=odd=1\nFROM box'
  refused 1 "check option 'odd'" b build --check .
}
check_knows_the_base() { # its variables; and of what is not here it does not speak
  printf 'FROM box\nENV known=1\n' | b build -q -t withenv - >/dev/null
  context <<<$'FROM withenv\nLABEL a=$known b=$knwn'
  exits 1 b build --check .
  contains "$said" "knwn"
  contains "$said" "did you mean"
  context <<<$'FROM nowhere.invalid/x\nLABEL a=$whatever'
  exits 0 b build --check .
}
check_of_the_bases_platform() {
  tar -C "$work/image" -c . | b import --platform linux/arm64 - foreign >/dev/null
  context <<<$'FROM foreign'
  exits 1 b build --check .
  contains "$said" InvalidBaseImagePlatform
  contains "$said" "'foreign' is for linux/arm64"
  contains "$(b build . 2>&1)" InvalidBaseImagePlatform
  exits 0 b build --check --platform linux/arm64 .
  exits 1 b build --check --platform linux/s390x .
  exits 0 b build --check --build-context foreign=docker-image://box .
  context <<<$'FROM box'
  exits 0 b build --check .
  exits 1 b build --check --build-context box=docker-image://foreign .
  context <<<$'# check=error=true\nFROM foreign\nRUN true'
  refused 1 InvalidBaseImagePlatform b build .
}
check_of_ignored_files() {
  context <<<$'# check=experimental=CopyIgnoredFile\nFROM box\nCOPY f /f'
  echo f >.dockerignore
  touch f
  exits 1 b build --check .
  contains "$said" CopyIgnoredFile
}
errors_fail_builds() { # through either door
  context <<<$'# check=error=true\nFROM box\nCMD echo hi'
  refused 1 'lint violation.*JSONArgsRecommended' b build -q -t never .
  exits 1 b build -t never .
  contains "$said" JSONArgsRecommended
  exits 1 b image inspect never
  is 400 "$(tar c . | http POST '/build?t=never' -H 'Content-Type: application/x-tar' --data-binary @-)"
  contains "$(cat "$work/answer")" JSONArgsRecommended
  exits 0 b build -q --build-arg BUILDKIT_DOCKERFILE_CHECK=error=false .
}
builds_warn() {
  context <<<$'FROM box\nENV a b\nCMD echo hi'
  b build . 2>"$work/said"
  contains "$(cat "$work/said")" $' 2 warnings found (use --debug to expand):\n - LegacyKeyValueFormat: '
  contains "$(cat "$work/said")" '(line 3)'
  contains "$(b -D build . 2>&1)" $'   3 | >>> CMD echo hi\n'
  lacks "$(b build -q . 2>&1)" warning
  b build --progress rawjson --build-arg nobodys=1 . 2>"$work/said"
  is $'JSONArgsRecommended 3\nLegacyKeyValueFormat 2\nOne 0' "$(python3 -c 'import base64, json, sys
for line in open(sys.argv[1]):
    for warning in json.loads(line).get("warnings", []):
        at = [one["start"]["line"] for one in warning.get("range", [])] or [0]
        print(base64.b64decode(warning["short"]).decode().split()[0].rstrip(":"), *at)
' "$work/said" | sort)"
  lacks "$(tar c . | curl -s --unix-socket "$work/main/berth.sock" -H 'Content-Type: application/x-tar' --data-binary @- \
    http://engine/build)" Legacy # the classic door's lines are what they were
}
outline() {
  context <<<$'# V which\nARG V=1\nFROM box AS build\n# TOKEN for fetching\nARG TOKEN\nRUN --mount=type=secret,id=k,required=true true
# app what it is all about\nFROM build AS app\nARG LATE=x\nRUN --mount=type=ssh true'
  local text
  text=$(b build --call outline .)
  contains "$text" $'TARGET:      app\nDESCRIPTION: what it is all about\n'
  contains "$text" $'BUILD ARG   VALUE     DESCRIPTION\n'
  grep -qE '^TOKEN +for fetching$' <<<"$text"
  grep -qE '^LATE +x' <<<"$text"
  text=$(b build --call outline --build-arg TOKEN=given --build-arg LATE=other .)
  grep -qE '^TOKEN +given +for fetching$' <<<"$text"
  grep -qE '^LATE +other' <<<"$text"
  grep -qE '^k +true$' <<<"$text"
  contains "$text" "SSH "
  lacks "$(b build --call outline --target build .)" LATE
  refused 1 "nowhere" b build --call outline --target nowhere .
  contains "$(b build --call outline,format=json .)" '"name": "app"'
}
targets() {
  context <<<$'# one the first\nFROM box AS one\nFROM box'
  is $'TARGET        DESCRIPTION\none           the first\n1 (default)' "$(b build --call targets . | sed 's/ *$//')"
}
calls_that_are_wrong() {
  context <<<$'FROM box'
  refused 1 'build, check, outline or targets' b build --call odd .
  refused 1 'format' b build --call check,format=odd .
  refused 1 'cannot be combined' b build --check --call targets .
  context <<<$'RUNN x'
  refused 1 RUNN b build --check .
  local body='{"call": "odd"}'
  is 400 "$(http POST /build -H 'Content-Type: application/vnd.berth.build' --data-binary "${#body}"$'\n'"$body")"
}
calls_have_no_results() {
  context <<<$'FROM box'
  echo before >"$work/metadata"
  local option
  for option in "-o $work/there" "--push -t localhost:1/x" "--cache-to type=local,dest=$work/there" "--iidfile $work/there" \
    "--metadata-file $work/metadata"; do
    # shellcheck disable=SC2086 # several words
    refused 1 'cannot be combined with --call check' b build --check $option .
    # shellcheck disable=SC2086
    refused 1 'cannot be combined with --call outline' b build --call outline $option .
  done
  fails test -e "$work/there"
  is before "$(cat "$work/metadata")"
  exits 0 b build --check --push=false -t out .
}
checks_are_harmless() { # a Dockerfile's lines do not command a terminal
  context <<<$'FROM box\nCMD echo \e]0;title\a\e[2Jhi'
  exits 1 b build --check .
  lacks "$said" $'\e'
  exits 0 b build .
  lacks "$said" $'\e'
  printf '# x d\377\nFROM box AS x\n# A \376y\nARG A=1\n' >Dockerfile # comments may be any bytes
  b build --call outline,format=json . >"$work/document"
  iconv -f UTF-8 -t UTF-8 "$work/document" >/dev/null
  contains "$(cat "$work/document")" $'"description": "d\xef\xbf\xbd"'
}

# --- progress ------------------------------------------------------------------------------------------------------

two_stages=$'FROM box AS a\nRUN echo of-a; sleep 1\nFROM box AS b\nRUN echo of-b; sleep 1\nFROM box
ENV x=y\nCOPY --from=a /etc/group /a\nCOPY --from=b /etc/group /b'

plain_lines() {
  context <<<$'FROM box AS build\nRUN echo visible-$((40 + 2)); echo err >&2\nFROM build\nRUN true'
  b build --no-cache --progress plain -t out . >"$work/out" 2>"$work/said"
  is "" "$(cat "$work/out")" "standard output"
  grep -qE '^#1 \[build 1/2\] FROM box AS build$' "$work/said"
  grep -qE '^#2 \[build 2/2\] RUN echo' "$work/said"
  grep -qE '^#2 [0-9]+\.[0-9]{3} visible-42$' "$work/said"
  grep -qE '^#2 [0-9]+\.[0-9]{3} err$' "$work/said"
  grep -qE '^#2 DONE [0-9]+\.[0-9]s$' "$work/said"
  grep -qE '^#3 \[stage-1 1/1\] RUN true$' "$work/said"
  grep -qF "writing image $(b image inspect -f '{{.Id}}' out)" "$work/said"
  grep -qF "naming to docker.io/library/out:latest" "$work/said"
  lacks "$(cat "$work/said")" $'\e'
  lacks "$(cat "$work/said")" CACHED
  b build --progress plain -t out . 2>"$work/said"
  grep -qE '^#2 CACHED$' "$work/said"
}
a_context_that_is_sent() { # has a vertex of its own
  context <<<$'FROM box\nCOPY f /f'
  head -c 3000000 /dev/zero >f
  tar c . | b build --progress plain - 2>"$work/said"
  grep -qE '^#1 \[internal\] load build context$' "$work/said"
  grep -qE '^#1 transferring context: 3[0-9.]*MB: done$' "$work/said"
  grep -qE '^#1 DONE [0-9.]+s$' "$work/said"
  grep -qE '^#2 \[1/2\] FROM box$' "$work/said"
  # One that comes slowly is seen to come.
  tar cf "$work/slow.tar" .
  mkfifo "$work/pipe"
  (head -c 2000000 "$work/slow.tar"; sleep 1; tail -c +2000001 "$work/slow.tar") >"$work/pipe" &
  on_terminal sh -c "berth build - <$work/pipe"
  contains "$(seen drawn)" " => => transferring context: 2MB"
  contains "$(seen screen)" " => [internal] load build context"
}
plain_failure() {
  context <<<$'FROM box\nRUN echo the-reason; printf no-newline; exit 23\nRUN true'
  exits 1 b build --progress plain .
  contains "$said" $'#2 ERROR: '
  grep -qE '^ > \[2/3\] RUN echo the-reason' <<<"$said"
  is 2 "$(grep -c the-reason$ <<<"$said")" "once as it came, once behind the failure"
  contains "$said" no-newline
  grep -qE '^ +2 > RUN' <<<"$said"
  contains "$said" "returned a non-zero code: 23"
  lacks "$said" "[3/3]"
}
a_failure_stops_the_others() {
  context <<<$'FROM box AS a\nRUN sleep 97\nFROM box AS b\nRUN sleep 1; exit 5\nFROM box\nCOPY --from=a /x /\nCOPY --from=b /x /'
  exits 1 b build --progress plain .
  grep -qE '^#[0-9]+ CANCELED$' <<<"$said"
  contains "$said" "code: 5"
}
times_are_the_steps_own() { # not of what they wait for
  context <<<$'FROM box AS a\nRUN sleep 2; echo x >/x\nFROM box\nCOPY --from=a /x /x'
  b build --no-cache --progress plain . 2>"$work/said"
  local number
  number=$(sed -n 's/^#\([0-9]*\) \[stage-1 2\/2\] COPY.*/\1/p' "$work/said" | head -n 1)
  grep -qE "^#$number DONE [01]\.[0-9]s" "$work/said"
}
steps_without_files() {
  context <<<$'FROM box\nENV a=b\nLABEL c=d\nRUN true\nCMD ["x"]'
  b build --no-cache --progress plain . 2>"$work/said"
  contains "$(cat "$work/said")" "[2/2] RUN true"
  lacks "$(cat "$work/said")" ENV
  context <<<$'FROM box\nSTOPSIGNAL ${x:?gone}'
  exits 1 b build --progress plain .
  contains "$said" gone
}
triggers() { # are seen, and fail where the FROM is that brought them
  context <<<$'FROM box\nONBUILD RUN echo of-a-trigger\nONBUILD ENV a=b\nONBUILD RUN test ! -e /bad'
  b build -q -t trigger . >/dev/null
  context <<<$'FROM trigger AS app\nRUN echo own'
  b build --no-cache --progress plain . 2>"$work/said"
  grep -qE '^#1 \[app 1/2\] FROM trigger AS app$' "$work/said"
  grep -qE '^#2 \[app\] ONBUILD RUN echo of-a-trigger$' "$work/said"
  grep -qE '^#2 [0-9.]+ of-a-trigger$' "$work/said"
  grep -qE '^#3 \[app\] ONBUILD RUN test' "$work/said"
  grep -qE '^#4 \[app 2/2\] RUN echo own$' "$work/said"
  contains "$(DOCKER_BUILDKIT=0 docker build --no-cache . 2>&1)" $'Step 1/2 : ONBUILD RUN echo of-a-trigger\nof-a-trigger'
  # An image that this build makes triggers as well, in the stage that is FROM it.
  context <<<$'FROM box AS base\nRUN touch /bad\nONBUILD RUN echo of-a-stage; exit 4\n\nFROM base AS app\nENV a=b'
  exits 1 b build --no-cache --progress plain .
  grep -qE '^#[0-9]+ \[app\] ONBUILD RUN echo of-a-stage; exit 4$' <<<"$said"
  grep -qE '^#[0-9]+ [0-9.]+ of-a-stage$' <<<"$said"
  grep -qE '^Dockerfile:5:1: ONBUILD RUN echo of-a-stage; exit 4: .*code: 4$' <<<"$said"
  grep -qE '^ +5 > FROM base AS app$' <<<"$said"
}
delivery() { # is told as it is
  context <<<$'FROM box\nRUN echo x >/x'
  b build --progress plain -t named:1 . 2>"$work/said"
  grep -qE '^#3 exporting to image$' "$work/said"
  grep -qF "#3 writing image $(b image inspect -f '{{.Id}}' named:1)" "$work/said"
  contains "$(cat "$work/said")" "#3 naming to docker.io/library/named:1"
  b build --progress plain -o "$work/files" -t named:2 . 2>"$work/said"
  grep -qE '^#3 exporting the result$' "$work/said"
  fails grep -qE 'writing image|naming to' "$work/said"
  exits 1 b image inspect named:2
  exits 1 b build --progress plain --cache-to type=registry,ref=127.0.0.1:9/x -t named:3 .
  grep -qE '^#3 exporting to image$' <<<"$said"
  grep -qE '^#3 ERROR: write the cache 127.0.0.1:9/x' <<<"$said"
}
any_bytes() { # what a step prints breaks neither the lines nor a terminal, through either door
  context <<<$'FROM box\nRUN printf \'\\377\\376 \\033]0;title\\007\\033[2Jseen\\302\\2331m \\342\\202\'; sleep 0.2; printf \'\\254\\n\''
  b build --no-cache --progress plain . 2>"$work/said"
  contains "$(cat "$work/said")" $'seen1m \xe2\x82\xac'
  fails grep -qP '\x1b|\x07|\xc2\x9b' "$work/said"
  b build --no-cache -q . >/dev/null
  tar c . | curl -s --unix-socket "$work/main/berth.sock" -H 'Content-Type: application/x-tar' --data-binary @- \
    'http://engine/build?nocache=1' >"$work/lines"
  iconv -f UTF-8 -t UTF-8 "$work/lines" >/dev/null
  contains "$(cat "$work/lines")" "Successfully built"
}
quiet_failure() { # what the step said is shown, and commands no terminal
  context <<<$'FROM box\nRUN printf \'\\033]0;title\\007\\033[2Jreason\\302\\2331m\\n\'; exit 3'
  exits 1 b build -q .
  contains "$said" reason1m
  contains "$said" "code: 3"
  fails grep -qP '\x1b|\x07|\xc2\x9b' <<<"$said"
}
# An engine that is not Berth's: all that it says of a build is in the file.
foreign_engine() { # file
  python3 - "$work/foreign.sock" "$1" <<'EOF'
import http.server, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
    def do_HEAD(self): self.answer(b"")
    def do_POST(self):
        while size := int(self.rfile.readline(), 16): self.rfile.read(size + 2)
        self.rfile.readline()
        self.answer(open(sys.argv[2], "rb").read())

socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
EOF
}
foreign_text() { # is as harmless
  context <<<'FROM box'
  printf '%s\n' '{"stream":"Step 1/1 : \u001b]0;title\u0007\u001b[2Jsome"}' '{"stream":" words\u009b1m\n\nend"}' \
    '{"warning":"careful\u001b[1m"}' '{"aux":{"ID":"sha256:\u001b[2Jabc"}}' >"$work/good"
  cat "$work/good" - <<<'{"error":"it is\u001b[2J\nwrong"}' >"$work/bad"
  cp "$work/good" "$work/answer"
  foreign_engine "$work/answer" &
  # shellcheck disable=SC2064 # the process that it is now
  trap "kill $!" EXIT
  eventually 5 test -S "$work/foreign.sock"
  export BERTH_HOST=unix://$work/foreign.sock
  b build --progress tty . >"$work/out" 2>&1
  is $'Step 1/1 : some words1m\n\nend\n[Warning] careful' "$(grep -v '^#1 ' "$work/out" | tail -n +2)"
  is sha256:abc "$(b build -q . 2>&1)"
  cp "$work/bad" "$work/answer"
  local mode
  for mode in plain quiet rawjson; do
    exits 1 b build --progress "$mode" .
    contains "$said" $'some words1m\n\nend\n'
    contains "$said" $'it is\nwrong'
    fails grep -qP '\x1b|\x07|\xc2\x9b' <<<"$said"
  done
}
# A client that is stopped holds up nobody but itself: not those who wait for the same step.
stopped_leader() { # what its text says of the step, command...
  local begun=$1 leader
  shift
  context <<<$'FROM box\nRUN echo leader-'"$RANDOM$RANDOM"$'; sleep 3; yes some words | head -c 30000000; echo its-end'
  "$@" . >"$work/leader" 2>&1 &
  leader=$!
  # shellcheck disable=SC2064 # the process that it is now
  trap "kill -KILL $leader 2>/dev/null || true" EXIT
  eventually 20 grep -qE "$begun" "$work/leader"
  kill -STOP "$leader"
  b build -q . >"$work/id"
  kill -CONT "$leader"
  wait "$leader"
  [ -s "$work/id" ]
  contains "$(tail -n 5 "$work/leader" | cut -c 1-200)" "$(cut -c 8-19 "$work/id")"
  grep -q 'more output is left out here' "$work/leader"
  at_most 20000000 "$(stat -c %s "$work/leader")" "bytes that were kept for it"
}
raw_json() {
  context <<<$'FROM box\nRUN echo raw-words'
  b build --no-cache --progress rawjson -t out . >"$work/out" 2>"$work/said"
  is "" "$(cat "$work/out")" "standard output"
  is "ok" "$(python3 -c 'import base64, json, sys
names, ended, said = {}, set(), ""
for line in open(sys.argv[1]):
    event = json.loads(line)
    for vertex in event.get("vertexes", []):
        names[vertex["digest"]] = vertex["name"]
        if "completed" in vertex: ended.add(vertex["digest"])
    for log in event.get("logs", []):
        assert log["vertex"] in names
        said += base64.b64decode(log["data"]).decode()
assert set(names) == ended and "[2/2] RUN echo raw-words" in names.values() and said == "raw-words\n", (names, said)
print("ok")' "$work/said")"
}
chosen_by_the_environment() {
  context <<<$'FROM box\nRUN true'
  contains "$(BUILDKIT_PROGRESS=rawjson b build . 2>&1)" '{"vertexes":'
  contains "$(BUILDKIT_PROGRESS=rawjson b build --progress plain . 2>&1)" '#1 [1/2] FROM box'
  is "$(b build -q .)" "$(BUILDKIT_PROGRESS=quiet b build . 2>/dev/null)"
  BUILDKIT_PROGRESS=odd refused 1 progress b build .
  contains "$(b build --progress tty . 2>&1)" '#1 [1/2] FROM box' # there is no terminal to draw on
}

# Runs a command on a terminal; what was seen there is one of terminal.py's files.
on_terminal() {
  rm -rf "$work/seen"
  timeout $((60 * slowness)) "$here/tests/terminal.py" "$work/seen" "$@"
}
seen() { cat "$work/seen/$1"; }
terminal_is_as_it_was() {
  is "" "$(seen modes)" "modes of the terminal"
  is "" "$(seen strange)" "what a display does not send"
  is False "$(seen raw)" "the terminal's settings"
  is 0 "$(seen style)" "colours that were left on"
}

display() {
  context <<<"$two_stages"
  on_terminal --size 60x20 berth build --no-cache -t out .
  is 0 "$(seen status)"
  terminal_is_as_it_was
  local screen
  screen=$(seen screen)
  grep -qE '^\[\+\] Building [0-9.]+s \(8/8\) FINISHED$' <<<"$screen"
  local part seconds
  for part in a b; do
    seconds=$(sed -nE "s/^ => \[$part 2\/2\] RUN echo of-$part; sleep 1 +([0-9]+)\.[0-9]s\$/\1/p" <<<"$screen")
    is 1 "$(wc -w <<<"$seconds")" "lines of the step of $part"
    fails test "$seconds" -lt 1
    at_most $((5 * slowness)) "$seconds" "seconds of the step of $part"
  done
  grep -qE '^ => exporting to image' <<<"$screen"
  is 1 "$(grep -c Building <<<"$screen")" "headers: it is drawn in place"
  lacks "$screen" '# of-a' # output is shown while its step runs
  at_most 60 "$(seen widest)" "widest line"
  at_most $(($(seen seconds) * 10 + 13)) "$(seen frames)" "frames"
  on_terminal --size 60x20 berth build -t out .
  grep -qE '^ => CACHED \[a 2/2\] RUN' <<<"$(seen screen)"
}
display_is_not_for_pipes_and_dumb_terminals() {
  context <<<$'FROM box\nRUN true'
  TERM=dumb on_terminal berth build .
  contains "$(seen screen)" '#1 [1/2] FROM box'
  is 0 "$(seen frames)"
  on_terminal berth build --progress plain .
  is 0 "$(seen frames)"
}
display_without_colours() {
  context <<<$'FROM box\nRUN true'
  local colours
  script -qec "berth build ." /dev/null </dev/null >"$work/coloured" 2>&1
  colours=$(grep -c $'\e\\[34m' "$work/coloured")
  fails test "$colours" = 0
  NO_COLOR=1 script -qec "berth build ." /dev/null </dev/null >"$work/plain" 2>&1
  fails grep -q $'\e\\[[0-9;]*m' "$work/plain"
}
display_of_a_small_terminal() {
  context < <(printf 'FROM box AS s%d\nRUN for i in $(seq 50); do echo "%s $i"; done; sleep 1\n' 1 a 2 b 3 c 4 d 5 e 6 f
    printf 'FROM scratch\n'
    printf 'COPY --from=s%d /etc/group /%d\n' 1 1 2 2 3 3 4 4 5 5 6 6)
  on_terminal --size 33x6 berth build --no-cache .
  is 0 "$(seen status)"
  terminal_is_as_it_was
  at_most 33 "$(seen widest)" "widest line"
  is 0 "$(seen lost)" "lines that were drawn above the top"
  is 1 "$(seen screen | grep -c Building)" headers
}
display_of_a_terminal_that_changes() {
  context <<<$'FROM box\nRUN for i in $(seq 30); do echo "line $i of some length, so that it is cut"; sleep 0.1; done'
  on_terminal --size 70x24 --resize '/line [3-9] /:40x10' --resize '/line (1[3-9]|2[0-9]) /:90x30' berth build --no-cache .
  is 0 "$(seen status)"
  terminal_is_as_it_was
  contains "$(seen screen)" FINISHED
}
display_of_a_failure() {
  context <<<$'FROM box\nRUN echo the-reason; exit 23'
  on_terminal --size 110x24 berth build --no-cache .
  is 1 "$(seen status)"
  terminal_is_as_it_was
  local screen
  screen=$(seen screen)
  contains "$screen" "FAILED"
  contains "$screen" " => ERROR [2/2] RUN echo the-reason; exit 23"
  grep -qE '^[0-9.]+ the-reason$' <<<"$screen"
  contains "$screen" "returned a non-zero code: 23"
}
display_of_a_hostile_step() {
  context <<<$'FROM box\nRUN printf \'\\033[2J\\033[?25l\\033[?1049h\\033]0;x\\007\\033[10Aevil\\r\\nnext\\b\\b\\302\\2331A\\n\'; sleep 1'
  on_terminal berth build --no-cache .
  is 0 "$(seen status)"
  terminal_is_as_it_was
  is 0 "$(seen lost)"
  context <<<$'FROM box\nRUN printf \'\\033[2J\\033[?1049hevil\\n\'; exit 1'
  on_terminal berth build --no-cache .
  terminal_is_as_it_was
  contains "$(seen screen)" evil
}
display_interrupted() {
  context <<<$'FROM box\nRUN echo started; sleep 7539'
  on_terminal --type '/# started/:\x03' berth build --no-cache .
  is -2 "$(seen status)" "it dies of the signal"
  terminal_is_as_it_was
  contains "$(seen screen)" "CANCELED [2/2] RUN echo started"
  eventually 5 no_sleep
  on_terminal --signal '/# started/:TERM' berth build --no-cache .
  is -15 "$(seen status)"
  terminal_is_as_it_was
  on_terminal --signal '/# started/:KILL' berth build --no-cache . # nobody can put anything right then
  is -9 "$(seen status)"
  is "" "$(seen modes)" "modes of the terminal"
  eventually 5 no_sleep
}
# A terminal that takes nothing (Ctrl-S, a connection that hangs) keeps nobody from ending it.
display_that_nobody_reads() {
  context < <(for part in a b c d e; do
    printf 'FROM box AS %s\nRUN for i in $(seq 40); do echo %s; done; sleep 7539\n' $part "$part$(printf '%0150d' 0)"
  done; printf 'FROM scratch\n'; printf 'COPY --from=%s / /\n' a b c d e)
  local began=$SECONDS
  on_terminal --size 170x50 --deaf '/# e0/:' --signal +5:CONT --signal +0.2:INT berth build --no-cache .
  is -2 "$(seen status)"
  at_most $((30 * slowness)) $((SECONDS - began)) "seconds"
  eventually 5 no_sleep
}
sleeps() { grep -qzsx "$1" /proc/[0-9]*/cmdline; }
no_sleep() { fails sleeps 7539; }
display_stopped_and_continued() {
  context <<<$'FROM box\nRUN echo started; sleep 3'
  on_terminal --signal '/# started/:STOP' --signal +0.5:CONT berth build --no-cache .
  is 0 "$(seen status)"
  terminal_is_as_it_was
  is 2 "$(seen screen | grep -c Building)" "headers: it goes on below what a shell may have written"
}
context_that_fails() {
  context <<<$'FROM box'
  on_terminal berth build nowhere
  is 1 "$(seen status)"
  is 0 "$(seen frames)"
  contains "$(seen screen)" '"nowhere" not found'
  terminal_is_as_it_was
}
engine_that_goes() { # the engine dies while it builds
  engine_start other
  image_make
  context <<<$'FROM box\nRUN sleep 7541'
  (eventually 20 sleeps 7541 && kill -9 "$(engine_pid other)") &
  on_terminal berth build --no-cache .
  is 1 "$(seen status)"
  terminal_is_as_it_was
  contains "$(seen screen)" CANCELED
  engine_forget other || true
  rm "$work/other/engine.pid"
}

here=$PWD
export TERM=xterm
engine_start main
image_make
case_of "--check says what it finds, and where" check_finds
case_of "--check as JSON" check_as_json
case_of "a Dockerfile says what is not checked" check_is_told_what_to_skip
case_of "--check knows base images that are here" check_knows_the_base
case_of "--check compares the platform of the base" check_of_the_bases_platform
case_of "--check knows .dockerignore" check_of_ignored_files
case_of "warnings that are errors fail builds" errors_fail_builds
case_of "a build says its warnings at its end" builds_warn
case_of "--call outline" outline
case_of "--call targets" targets
case_of "calls that are wrong" calls_that_are_wrong
case_of "calls have no results" calls_have_no_results
case_of "a hostile Dockerfile is shown harmlessly" checks_are_harmless
case_of "plain progress" plain_lines
case_of "a context that is sent" a_context_that_is_sent
case_of "plain progress of a failure" plain_failure
case_of "what a failure stops is cancelled" a_failure_stops_the_others
case_of "a step's time is its own" times_are_the_steps_own
case_of "steps without files are told of when they fail" steps_without_files
case_of "what a base image triggers" triggers
case_of "what becomes of the result" delivery
case_of "output of any bytes" any_bytes
case_of "a quiet build that fails" quiet_failure
case_of "text of an engine that is not Berth's" foreign_text
case_of "a stopped client holds up nobody else" stopped_leader '^#2 [0-9.]+ leader' berth build --progress plain
case_of "a stopped client of Docker holds up nobody else" stopped_leader '^leader' env DOCKER_BUILDKIT=0 docker build
case_of "rawjson progress" raw_json
case_of "the environment chooses the progress" chosen_by_the_environment
case_of "a display on a terminal" display
case_of "no display where there is nothing to draw on" display_is_not_for_pipes_and_dumb_terminals
case_of "NO_COLOR" display_without_colours
case_of "a display on a small terminal" display_of_a_small_terminal
case_of "a display on a terminal that changes its size" display_of_a_terminal_that_changes
case_of "a display of a failure" display_of_a_failure
case_of "a display of a hostile step" display_of_a_hostile_step
case_of "a display that is interrupted" display_interrupted
case_of "a display that nobody reads is interrupted" display_that_nobody_reads
case_of "a display that is stopped and continued" display_stopped_and_continued
case_of "a display and a context that is not there" context_that_fails
case_of "a display and an engine that dies" engine_that_goes
finish
