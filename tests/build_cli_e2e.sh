#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `berth build`: what each option does, where the context and the Dockerfile come from, what is said when they are wrong.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

build() { b build -q -t out "$@" . >/dev/null; }
out() { b run --rm out "$@"; }

quiet_prints_the_id() {
  context <<<$'FROM box\nRUN echo noise'
  local id
  id=$(b build -q -t out . 2>"$work/said")
  is "$(b image inspect -f '{{.Id}}' out)" "$id"
  is "" "$(cat "$work/said")"
  # Of one that fails, what the step said is worth having, but not on standard output.
  context <<<$'FROM box\nRUN echo reason; exit 3'
  is "" "$(b build -q . 2>"$work/said" || true)"
  contains "$(cat "$work/said")" reason
}
lines_are_shown() {
  context <<<$'FROM box\nRUN echo visible-$((40 + 2))'
  local mode
  for mode in auto plain tty; do contains "$(b build --no-cache --progress "$mode" . 2>&1)" visible-42; done
  contains "$(b build . 2>&1)" "[1/2] FROM box"
  lacks "$(b build --progress quiet . 2>&1)" FROM
  is "" "$(b build . 2>/dev/null)" "standard output"
}
arguments() {
  context <<<$'FROM box\nARG A=none\nARG B=none\nARG C=none\nRUN echo $A,$B,$C >/v'
  B=there build --build-arg A=x=y --build-arg B --build-arg C
  is x=y,there,none "$(out cat /v)"
  refused 1 'no name' b build --build-arg =x .
}
epoch_of_the_environment() {
  context <<<$'FROM box\nCOPY f /f'
  echo one >f
  SOURCE_DATE_EPOCH=1700000000 build --no-cache
  contains "$(b image inspect -f '{{.Created}}' out)" 2023-11-14
}
labels_and_names() {
  context <<<"FROM box"
  b build -q -t many:1 -t many:2 --label a=b --label plain . >/dev/null
  is "b-" "$(b image inspect -f '{{.Config.Labels.a}}-{{.Config.Labels.plain}}' many:2)"
  is "$(b image inspect -f '{{.Id}}' many:1)" "$(b image inspect -f '{{.Id}}' many:2)"
}
target() {
  context <<<$'FROM box AS one\nRUN echo 1 >/v\nFROM one\nRUN echo 2 >/v'
  build --target one
  is 1 "$(out cat /v)"
  refused 1 nowhere b build --target nowhere .
}
no_cache() {
  context <<<$'FROM box\nRUN head -c 8 /dev/urandom | od -x >/r'
  build
  local first
  first=$(out cat /r)
  build
  is "$first" "$(out cat /r)"
  build --no-cache
  fails test "$first" = "$(out cat /r)"
}
no_cache_filter() {
  context <<<$'FROM box AS a\nRUN head -c 8 /dev/urandom | od -x >/r\nFROM box AS b\nRUN head -c 8 /dev/urandom | od -x >/s
FROM box\nCOPY --from=a /r /\nCOPY --from=b /s /'
  build
  local first
  first=$(out cat /r)/$(out cat /s)
  build --no-cache-filter b
  is "${first%/*}" "$(out cat /r)" "the stage that was not named"
  fails test "${first#*/}" = "$(out cat /s)"
  first=$(out cat /r)/$(out cat /s)
  b build --no-cache-filter B,2 --no-cache-filter odd,7 -t out . 2>"$work/said" # as FROM and COPY --from write them
  is "${first%/*}" "$(out cat /r)"
  fails test "${first#*/}" = "$(out cat /s)"
  local name
  for name in odd 7; do contains "$(cat "$work/said")" "[Warning] --no-cache-filter $name: no stage of Dockerfile is called so"; done
  is 2 "$(grep -c no-cache-filter "$work/said")" warnings
}
limits_and_network() {
  context <<<$'FROM box\nRUN ls /sys/class/net >/n; ulimit -n >/u; df -k /dev/shm | tail -n 1 >/s; cat /etc/hosts >/h'
  build --network none --ulimit nofile=333:444 --shm-size 8m --add-host there:192.0.2.9
  is lo "$(out cat /n)"
  is 333 "$(out cat /u)"
  contains "$(out cat /s)" " 8192 "
  contains "$(out cat /h)" 192.0.2.9
  context <<<$'FROM box\nRUN dd if=/dev/zero of=/dev/null bs=100M count=1'
  refused 1 '137|memory|code|signal' b build -q -m 20m --memory-swap 20m .
}
platform() {
  context <<<$'FROM scratch\nLABEL a=b'
  b build -q --platform linux/arm64 -t other . >/dev/null
  is arm64 "$(b image inspect -f '{{.Architecture}}' other)"
  refused 1 'one platform' b build --platform linux/amd64,linux/arm64 .
}
id_file() {
  context <<<"FROM box"
  b build -q --iidfile "$work/id" -t out . >/dev/null
  is "$(b image inspect -f '{{.Id}}' out)" "$(cat "$work/id")"
  context <<<$'FROM box\nRUN exit 1'
  exits 1 b build --iidfile "$work/id" .
  fails test -e "$work/id"
}

ignored_files_stay_here() {
  context <<<$'FROM box\nCOPY . /c\nRUN cat /c/.dockerignore >/dev/null'
  printf '%s\n' '# comment' '*.log' '!keep.log' 'deep/**/tmp' Dockerfile huge >.dockerignore
  mkdir -p deep/x/tmp deep/y
  touch a.log keep.log deep/x/tmp/f deep/y/g
  mkdir huge
  truncate -s 1T huge/hole # far too much, if it were sent
  build
  is "./.dockerignore ./deep/y/g ./keep.log " "$(out sh -c 'cd /c && find . -type f | sort' | tr '\n' ' ')"
}
ignore_file_of_the_dockerfile() {
  context <<<"FROM nothing"
  printf 'FROM box\nCOPY . /c\n' >Other
  echo one >.dockerignore
  echo two >Other.dockerignore
  touch one two
  build -f Other
  contains "$(out ls /c)" one
  lacks "$(out ls /c)" two
}
unreadable_and_ignored() {
  context <<<$'FROM box\nCOPY . /c'
  echo key >.dockerignore
  touch key
  chmod 0 key
  # Without the power to read everything, as for users of the engine who are not root.
  chmod 755 .
  chmod 711 "$work" "$work/main"
  chmod 666 "${BERTH_HOST#unix://}"
  local somebody=(setpriv --reuid 61234 --regid 61234 --clear-groups env "HOME=$work/nowhere")
  "${somebody[@]}" "$BERTH_BIN/berth" build -q -t out . >/dev/null
  : >.dockerignore
  refused 1 'key.*denied' "${somebody[@]}" "$BERTH_BIN/berth" build -q -t out .
}
links_and_owners() {
  context <<<$'FROM box\nCOPY . /c'
  echo x >f
  ln f g
  ln -s f l
  chown 1000:1001 f
  mkdir d
  chmod 750 d
  build
  is "f 0:0 750 x" "$(out sh -c 'cd /c; echo $(readlink l) $(stat -c %u:%g f) $(stat -c %a d) $(cat g)')"
}

dockerfile_elsewhere() {
  context <<<"FROM nothing"
  mkdir files
  echo in >files/f
  printf 'FROM box\nCOPY . /c\n' >Far
  b build -q -f Far -t out files >/dev/null
  is f "$(out ls -A /c)" "what COPY sees"
  printf 'FROM box\nRUN echo sub >/v\n' >files/Sub
  b build -q -f files/Sub -t out files >/dev/null
  is sub "$(out cat /v)"
}
dockerfile_on_standard_input() {
  context <<<"FROM nothing"
  echo data >f
  printf 'FROM box\nCOPY . /c\n' | b build -q -f - -t out . >/dev/null
  is "Dockerfile f " "$(out ls -A /c | tr '\n' ' ')" "what COPY sees"
}
standard_input_alone() {
  printf 'FROM box\nRUN echo alone >/v\n' | b build -q -t out - >/dev/null
  is alone "$(out cat /v)"
  printf '#\n%.0s' {1..2000} >"$work/long"
  printf 'FROM box\nRUN echo long >/v\n' | cat "$work/long" - | b build -q -t out - >/dev/null
  is long "$(out cat /v)"
}
standard_input_tar() {
  context <<<$'FROM box\nCOPY f /f'
  printf 'FROM box\nCOPY f /g\n' >Other
  echo tarred >f
  local how
  for how in cat gzip xz bzip2; do
    echo "$how" >f
    tar c . | "$how" | b build -q -t out - >/dev/null
    is "$how" "$(out cat /f)"
  done
  tar c . | b build -q -f Other -t out - >/dev/null
  is bzip2 "$(out cat /g)"
}
address() {
  context <<<$'FROM box\nRUN echo fetched >/v'
  busybox httpd -f -p 127.0.0.1:18391 -h . &
  server=$!
  trap 'kill $server' EXIT
  eventually 5 curl -fs -o /dev/null http://127.0.0.1:18391/Dockerfile
  b build -q -t out http://127.0.0.1:18391/Dockerfile >/dev/null
  is fetched "$(out cat /v)"
  refused 1 'not found|404' b build http://127.0.0.1:18391/nothing
  refused 1 'not found' b build http://127.0.0.1:18391/x.git
}

secrets() {
  context <<<$'FROM box\nRUN --mount=type=secret,id=k cat /run/secrets/k | tr a-z A-Z >/k\nRUN test ! -e /run/secrets/k'
  printf hidden-words >"$work/secret"
  build --secret "id=k,src=$work/secret"
  is HIDDEN-WORDS "$(out cat /k)"
  NAME=other-words build --no-cache --secret id=k,env=NAME
  is OTHER-WORDS "$(out cat /k)"
  NAME=third-words build --no-cache --secret type=env,id=k,src=NAME
  is THIRD-WORDS "$(out cat /k)"
  k=fourth-words build --no-cache --secret id=k
  is FOURTH-WORDS "$(out cat /k)"
  # Nowhere else.
  b save out >"$work/saved.tar"
  fails grep -qa 'hidden-words\|other-words' "$work/saved.tar"
  lacks "$(b history --no-trunc out)" words
  fails grep -qa 'hidden-words\|other-words' "$work/main/engine.log"
  fails grep -rqaF hidden-words "$work/main/data" "$work/main/run"
}
secrets_as_variables() { # nor is anything of them on the disk, while the step runs or after it
  context <<<$'FROM box\nRUN --mount=type=secret,id=k,env=WORDS sleep 1 && echo "$WORDS" | wc -c >/k'
  printf hidden-variable >"$work/secret"
  build --no-cache --secret "id=k,src=$work/secret" &
  local building=$!
  sleep 0.7
  fails grep -rq hidden-variable "$work/main/data"
  wait "$building"
  fails grep -rq hidden-variable "$work/main/data"
}

secrets_that_are_wrong() {
  context <<<"FROM box"
  refused 1 'no id' b build --secret src=x .
  refused 1 'key=value' b build --secret id .
  refused 1 'unexpected key' b build --secret id=x,color=red .
  refused 1 'neither file nor env' b build --secret id=x,type=odd .
  refused 1 'open .*nowhere.*no such file' b build --secret id=x,src=nowhere .
  refused 1 'no variable NOWHERE' b build --secret id=x,env=NOWHERE .
  head -c 512001 /dev/zero >large
  refused 1 'larger than' b build --secret id=x,src=large .
  head -c 512000 /dev/zero >large
  build --secret id=x,src=large
}
preambles_that_are_wrong() {
  local type='Content-Type: application/vnd.berth.build' body
  for body in '' 5 $'x\n{}' $'-1\n{}' $'99999999999999999999\n' $'16777217\n{}' $'20\n{}' $'2\n[]' $'3\n{}x' \
    $'30\n{"secrets": {"a": "!!words!!"}}' $'17\n{"secrets": {"a":' $'28\n{"contexts": {"a": {"b":1}}}'; do
    is 400 "$(http POST /build -H "$type" --data-binary "$body")" "status of <$body>"
    lacks "$(cat "$work/answer")" words
  done
  context <<<"FROM box" # whose layout is nowhere
  for body in '{"tag": "a"}}' '{"tag": "a"}, "image": "alpine"}' '{"tag": "a"}, "address": "http://127.0.0.1:1/x"}'; do
    body="{\"contexts\": {\"box\": {\"layout\": $body}}"
    { printf '%s\n%s' ${#body} "$body" && tar -c .; } >"$work/body"
    is 400 "$(http POST /build -H "$type" --data-binary @"$work/body")" "$body"
  done
  engine_answers main
}
named_contexts() {
  context <<<$'FROM base AS one\nFROM box\nCOPY --from=base /mark /m\nCOPY --from=one /mark /n'
  printf 'FROM box\nRUN echo marked >/mark\n' | b build -q -t marked - >/dev/null
  build --build-context base=docker-image://marked
  is "marked marked" "$(out sh -c 'echo $(cat /m /n)')"
  context <<<'FROM base'
  exits 1 b build -q --build-context base=. .
  contains "$said" 'FROM takes an image'
  refused 1 'docker-image://' b build --build-context base=target:x .
  refused 1 'name=docker-image' b build --build-context base .
}

wrong_places() {
  context <<<"FROM box"
  refused 1 '"nowhere" not found' b build nowhere
  refused 1 'not a directory' b build Dockerfile
  mkdir empty
  refused 1 'no Dockerfile' b build empty
  refused 1 'nowhere: no such file' b build -f nowhere .
  refused 1 'not a file' b build -f empty .
  refused 1 'requires 1 argument' b build
  refused 1 'requires 1 argument' b build . .
  refused 1 'stdin' b build -f - -
  refused 1 'empty' b build -
  printf 'FROM box\n' | refused 1 ambiguous b build -f Other -
}
wrong_options() {
  context <<<"FROM box"
  refused 1 'invalid tag' b build -t UPPER .
  refused 1 progress b build --progress odd .
  refused 125 'unknown flag' b build --odd .
  refused 125 ulimit b build --ulimit odd=1 .
  refused 125 'shm-size' b build --shm-size many .
  refused 1 'needs a name' b build --push .
  refused 1 'not available' b build --squash .
  SSH_AUTH_SOCK='' refused 1 'SSH_AUTH_SOCK' b build --ssh default .
  refused 1 platform b build --platform odd/odd/odd/odd .
  refused 1 'SOURCE_DATE_EPOCH' b build --build-arg SOURCE_DATE_EPOCH=soon .
}
options_that_mean_nothing() {
  context <<<"FROM box"
  b build -q --rm --rm=false --force-rm --compress --load -o type=docker --cache-from x --provenance=false . >/dev/null
  b build -q --provenance mode=min,inline-only=true --sbom=false --attest type=provenance,mode=min --attest type=sbom,disabled=true \
    --builder default --isolation default . >/dev/null
}
options_that_cannot_be_had() { # are not passed over
  context <<<"FROM box"
  local option
  for option in --provenance=mode=max --provenance=true --sbom=true --sbom=generator=x --attest=type=sbom \
    --attest=type=provenance,mode=max; do
    refused 1 "^$option: this version makes no attestations" b build "$option" .
  done
  refused 1 'builder other: there is none but the default' b build --builder other .
  refused 1 'isolation hyperv' b build --isolation hyperv .
}
failures_of_builds() {
  context <<<$'FROM box\nRUN exit 23'
  exits 1 b build -t never .
  contains "$said" 23
  exits 1 b image inspect never
  # The reason is on standard error.
  contains "$(b build . 2>&1 >/dev/null || true)" 23
  context <<<$'FROM box\nCOPY missing /'
  refused 1 missing b build -q .
  context <<<"RUNN x"
  refused 1 RUNN b build -q .
}
interrupted() {
  context <<<$'FROM box\nRUN sleep 7531'
  timeout -s INT 3 "$BERTH_BIN/berth" build . >/dev/null 2>&1 || true
  eventually 5 no_sleep
}
no_sleep() { ! grep -qzsx 7531 /proc/[0-9]*/cmdline; }

other_names() {
  context <<<"FROM box"
  local name
  for name in "image build" "builder build" "buildx build"; do
    # shellcheck disable=SC2086 # two words
    b $name -q . >/dev/null
  done
  contains "$(b build --help)" --secret
}
cache_is_pruned() {
  context <<<$'FROM box\nRUN head -c 100000 /dev/urandom >/r'
  b build -q . >/dev/null
  contains "$(b builder prune -f --keep-storage 1g)" "reclaimed space: 0B"
  local said
  said=$(b builder prune -af)
  contains "$said" "Total reclaimed space: "
  contains "$said" "Deleted build cache objects:"
  contains "$(b buildx prune -af)" "reclaimed space: 0B"
  context <<<$'FROM box\nRUN echo again >/again'
  build --no-cache
  b rmi -f out >/dev/null
  contains "$(b system prune -f --filter label=x)" "reclaimed space: 0B" # what is cached has no labels
  said=$(b system prune -f)
  contains "$said" "Deleted build cache objects"
}

engine_start main
image_make
case_of "-q prints the id and nothing else" quiet_prints_the_id
case_of "progress is shown as asked" lines_are_shown
case_of "--build-arg" arguments
case_of "SOURCE_DATE_EPOCH comes from the environment" epoch_of_the_environment
case_of "--label and several --tag" labels_and_names
case_of "--target" target
case_of "--no-cache" no_cache
case_of "--no-cache-filter" no_cache_filter
case_of "--network, --ulimit, --shm-size, --add-host, --memory" limits_and_network
case_of "--platform" platform
case_of "--iidfile" id_file
case_of ".dockerignore keeps files here" ignored_files_stay_here
case_of "the Dockerfile's own ignore file wins" ignore_file_of_the_dockerfile
case_of "what is ignored need not be readable" unreadable_and_ignored
case_of "links, modes and owners" links_and_owners
case_of "a Dockerfile outside of the context" dockerfile_elsewhere
case_of "-f - with a directory" dockerfile_on_standard_input
case_of "a Dockerfile on standard input" standard_input_alone
case_of "a tar on standard input" standard_input_tar
case_of "a context from an address" address
case_of "secrets reach steps and nothing else" secrets
case_of "secrets as variables touch no disk" secrets_as_variables
case_of "secrets that are wrong" secrets_that_are_wrong
case_of "preambles that are wrong" preambles_that_are_wrong
case_of "--build-context" named_contexts
case_of "contexts that are wrong" wrong_places
case_of "options that are wrong" wrong_options
case_of "options that mean nothing here" options_that_mean_nothing
case_of "options that cannot be had" options_that_cannot_be_had
case_of "builds that fail" failures_of_builds
case_of "an interrupt ends the build" interrupted
case_of "other names of the command" other_names
case_of "builder prune" cache_is_pruned
finish
