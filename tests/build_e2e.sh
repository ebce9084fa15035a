#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds by Docker's client: what a Dockerfile, a context or a step may not do, what a killed engine or client leaves, and
# what the cache holds.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

context=$work/context
export DOCKER_BUILDKIT=0 DOCKER_CLI_HINTS=false DOCKER_CONFIG=$work/docker
mkdir -p "$DOCKER_CONFIG"

d() { timeout -k 5 $((${LIMIT:-40} * slowness)) docker "$@"; }
fresh() { rm -rf "$context" && mkdir -p "$context" && cat >"$context/Dockerfile"; } # the Dockerfile on stdin
build() { d build -q -t out "$@" "$context" 2>/dev/null; }
out() { b run --rm --network none out "$@"; }
refuses() { # regular expression, build's options
  local said
  said=$(d build -t wrong "${@:2}" "$context" 2>&1) && { echo "it was built"; return 1; }
  grep -qE "$1" <<<"$said" || { echo "<$1> is not in: $said"; return 1; }
}
engine_kill() { kill -9 "$(engine_pid main)"; eventually 10 gone "$(engine_pid main)"; }
engine_again() { engine_kill && engine_start main; }
places() { find "$work/main/data/build/steps" "$work/main/data/build/contexts" -mindepth 1; }
mounts() { grep -c "$work/main" /proc/self/mountinfo || true; }
nothing_of_builds() { [ -z "$(places)" ] && [ -z "$(pgrep -f 'sleep 4711')" ]; }

# --- what people do ---

several_stages() {
  fresh <<'D'
ARG BASE=box
FROM $BASE AS made
WORKDIR /src
COPY src/ .
RUN cat a b > all && chmod 640 all
FROM box AS unused
RUN exit 1
FROM box
COPY --from=made --chown=1:2 /src/all /all
ENV NAME=value
RUN echo "$NAME" >/name
CMD ["cat", "/all"]
D
  mkdir "$context/src" && echo A >"$context/src/a" && echo B >"$context/src/b"
  build
  is "A B" "$(out | xargs)"
  is "640 1 2" "$(out stat -c '%a %u %g' /all)"
  is value "$(out cat /name)"
  contains "$(d history --no-trunc out)" 'COPY --from=made'
}

inherited_arguments() { # a stage that begins with another has its arguments as well
  fresh <<'D'
FROM box AS base
ARG VERSION=1
ARG OTHER
FROM base AS middle
RUN echo "v$VERSION$OTHER" >/v
FROM middle
RUN echo "$VERSION" >/w
D
  build --build-arg OTHER=o
  is "v1o 1" "$(out cat /v /w | xargs)"
}

hosts_of_another() { # what a step made with one client's hosts is nobody else's
  fresh <<'D'
FROM box
RUN grep -c a.test /etc/hosts >/h || true
D
  build --add-host a.test:10.9.8.7
  is 1 "$(out cat /h)"
  build
  is 0 "$(out cat /h)"
}

wildcards_without_end() { # links make more paths than there are files
  fresh <<'D'
FROM box
COPY */*/*/*/* /x/
D
  local at
  for at in {1..1000}; do ln -s . "$context/l$at"; done
  refuses 'wildcards are compared with more than'
  b version >/dev/null
}

ignored_behind_links() { # what is left out is not there, by whatever way
  fresh <<'D'
FROM box
COPY way/key /x/
D
  mkdir "$context/secrets" && echo key >"$context/secrets/key" && echo open >"$context/secrets/open"
  ln -s secrets "$context/way" && echo secrets/key >"$context/.dockerignore"
  refuses 'is not in the build context|not found'
  fails timeout 40 berth build -q -t wrong "$context"
  sed -i 's,way/key,way,' "$context/Dockerfile"
  timeout 40 berth build -q -t out "$context" >/dev/null
  is open "$(out ls /x)"
}

cached() { # what has not changed is not done again; times do not count, contents do
  fresh <<'D'
FROM box
COPY f /f
RUN head -c 8 /dev/urandom | od -An -tx1 >/random
COPY g /g
D
  echo 1 >"$context/f" && echo 1 >"$context/g"
  build && first=$(out cat /random)
  touch -d 2001-01-01 "$context/f" && echo 2 >"$context/g"
  build && is "$first" "$(out cat /random)"
  engine_again
  build && is "$first" "$(out cat /random)" "after a kill"
  chmod 600 "$context/f"
  build && [ "$(out cat /random)" != "$first" ]
}

same_image() { # all of it cached gives the same image, and SOURCE_DATE_EPOCH one that is made again
  fresh <<'D'
FROM box
ARG SOURCE_DATE_EPOCH
COPY f /d/f
RUN mkdir /e && echo x >/e/f
LABEL a=b
D
  echo 1 >"$context/f"
  is "$(build)" "$(build)"
  one=$(build --no-cache --build-arg SOURCE_DATE_EPOCH=1700000000)
  sleep 1.1 && touch "$context/f"
  is "$one" "$(build --no-cache --build-arg SOURCE_DATE_EPOCH=1700000000)"
  is 2023-11-14T22:13:20Z "$(b image inspect -f '{{.Created}}' out)"
}

shared() { # two builds at once do equal work once
  fresh <<'D'
FROM box
RUN sleep 1 && head -c 8 /dev/urandom | od -An -tx1 >/random
D
  for name in one two three; do d build -q --label "l=$name" -t "$name" "$context" >/dev/null 2>&1 & done
  wait
  is "$(b run --rm one cat /random)" "$(b run --rm two cat /random)"
  is "$(b run --rm one cat /random)" "$(b run --rm three cat /random)"
}

pruned() {
  is 200 "$(http GET /system/df)"
  contains "$(jq -r '.BuildCache[].Description' "$work/answer")" 'RUN sleep 1'
  b rmi -f one two three >/dev/null
  d builder prune -f >/dev/null # what an image has stays
  is 200 "$(http GET /system/df)"
  is "" "$(jq -r '.BuildCache[].Description' "$work/answer" | grep 'sleep 1' || true)"
  contains "$(jq -r '.BuildCache[] | select(.Shared) | .Description' "$work/answer")" 'COPY f /d/f'
  d builder prune -af >/dev/null
  is 200 "$(http GET /system/df)"
  is "[]" "$(jq -c .BuildCache "$work/answer")"
}

mounted() { # caches stay, nothing of a mount gets into the image
  fresh <<'D'
FROM box AS other
RUN echo other >/o
FROM box
ARG N
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=type=bind,from=other,source=/o,target=/mo \
    --mount=target=/context echo $N >>/c/all && cp /c/all /all && touch /t/x && cat /mo /context/f >/both && ! touch /context/g
D
  echo here >"$context/f"
  build --build-arg N=1 && build --build-arg N=2
  is "1 2" "$(out cat /all | xargs)"
  is "other here" "$(out cat /both | xargs)"
  is "" "$(out sh -c 'ls -d /c /t /mo /context 2>/dev/null' || true)"
}

# --- what Dockerfiles and contexts try ---

links_outside() {
  echo "secret of the host" >"$work/secret"
  fresh <<'D'
FROM box
COPY link /x
D
  ln -s "$work/secret" "$context/link"
  refuses 'link'
  rm "$context/link" && ln -s "$work" "$context/link"
  refuses 'link'
  sed -i 's|COPY link|COPY ../../secret|' "$context/Dockerfile"
  refuses 'secret'
}

destinations_outside() { # an image whose links lead out of it
  fresh <<D
FROM box
RUN mkdir -p /a && ln -s ../../../../../../../..$work/target /a/up && ln -s $work/target /a/down
COPY f /a/up/f
COPY f /a/down/g
D
  mkdir -p "$work/target" && echo 1 >"$context/f"
  build
  is "" "$(ls -A "$work/target")"
  is 1 "$(out cat "$work/target/g")"
}

devices() { # are nothing that a client sends
  fresh <<<"FROM box
COPY . /x"
  mknod "$context/device" c 1 3
  tar -C "$context" -c . | d build -q -t wrong - >/dev/null 2>"$work/said" && return 1
  contains "$(cat "$work/said")" device
}

wrong_words() {
  fresh <<<"FROM box
RUNN echo"
  refuses 'Dockerfile:2:1: .*RUNN.*RUN'
  fresh <<<"FROM box
COPY --chwon=1 a /b"
  refuses 'chwon.*chown'
  fresh <<<"FROM box
COPY nothing /x"
  refuses 'Dockerfile:2:1: .*nothing'
  fresh <<<"FROM box
RUN exit 23"
  refuses 'non-zero code: 23'
  fresh </dev/null
  refuses 'empty'
  rm "$context/Dockerfile"
  refuses 'Dockerfile'
}

step_is_confined() {
  fresh <<'D'
FROM box
RUN grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status >/status; ls /proc/1/root >/dev/null; hostname >/name; id -u >/id
D
  build
  is "$(b run --rm box grep CapEff /proc/self/status)" "$(out grep CapEff /status)"
  is 2 "$(out awk '/^Seccomp:/ {print $2}' /status)"
}

steps_are_nobodys_containers() {
  fresh <<'D'
FROM box
RUN sleep 3
D
  build &
  sleep 1
  is "" "$(b ps -aq)"
  is 0 "$(b info -f '{{.Containers}}')"
  wait
}

hosts_network() { # is the client's to give
  fresh <<<"FROM box
RUN --network=host true"
  refuses 'network host'
  build --network host
  fresh <<<"FROM box
RUN --network=none ls /sys/class/net >/n"
  build --network host
  is lo "$(out cat /n)"
}

mounts_over_all() {
  local kind target
  for kind in bind cache tmpfs secret,id=k; do
    for target in / ../../.. /a/..; do
      fresh <<<"FROM box
RUN --mount=type=$kind,target=$target true"
      refuses 'mounted over /'
    done
  done
}

values_that_grow() {
  { echo "FROM box"; echo "ENV A=$(head -c 1000 /dev/zero | tr '\0' x)"
    for _ in $(seq 10); do echo 'ENV A=$A$A'; done
    for number in $(seq 200); do echo "ENV B$number=\$A"; done; } | fresh
  refuses 'come to more than'
}

other_platform() { # one stage compiles for another
  fresh <<<'FROM --platform=$BUILDPLATFORM box
ARG TARGETARCH BUILDARCH
RUN echo $TARGETARCH $BUILDARCH >/p'
  build --platform linux/arm64
  is "arm64 amd64" "$(out cat /p)"
}

caches_in_any_order() { # and twice: nobody waits for himself, nor two for each other
  fresh <<'D'
FROM box AS one
RUN --mount=type=cache,id=a,target=/a,sharing=locked --mount=type=cache,id=b,target=/b,sharing=locked sleep 0.3; echo 1 >/one
FROM box AS two
RUN --mount=type=cache,id=b,target=/b,sharing=locked --mount=type=cache,id=a,target=/a,sharing=locked sleep 0.3; echo 2 >/two
FROM box
RUN --mount=type=cache,id=a,target=/a,sharing=locked --mount=type=cache,id=a,target=/c,sharing=locked echo x >/a/x && cat /c/x
COPY --from=one /one /
COPY --from=two /two /
D
  for _ in 1 2 3; do build --no-cache; done
  is "1 2" "$(out cat /one /two | xargs)"
}

equal_layers() { # steps that change nothing have one layer: it is not mounted twice
  fresh <<'D'
FROM box
RUN test 1 = 1
RUN test 2 = 2
COPY f /f
RUN test 3 = 3
RUN cp /f /g
D
  echo 1 >"$context/f"
  build && is 1 "$(out cat /g)"
}

trigger_without_a_stage() { # of a base image: it is not known when stages are chosen
  fresh <<<"FROM box
ONBUILD COPY --from=other /x /y"
  d build -q -t trigger "$context" >/dev/null 2>&1
  fresh <<<"FROM box AS other
FROM trigger"
  refuses 'not part of this build'
}

# --- what ends in the middle ---

client_goes() {
  fresh <<'D'
FROM box
RUN sleep 4711
D
  docker build -t never "$context" >/dev/null 2>&1 &
  client=$!
  eventually 10 pgrep -f 'sleep 4711' >/dev/null
  kill -9 "$client"
  wait "$client" || true
  eventually 5 nothing_of_builds
  exits 1 b image inspect never
}

engine_dies() { # in a step with mounts: the next one ends it, and takes its places away
  fresh <<'D'
FROM box AS other
FROM box
RUN --mount=type=bind,from=other,target=/o --mount=type=cache,target=/c sleep 4711
D
  before=$(mounts)
  d build -t never "$context" >/dev/null 2>&1 &
  eventually 10 pgrep -f 'sleep 4711' >/dev/null
  engine_again
  wait
  eventually 10 nothing_of_builds
  at_most "$before" "$(mounts)" "mounts, as before"
  is "" "$(b ps -aq)"
}

other_stage_stops() { # a stage that fails ends the others at once
  fresh <<'D'
FROM box AS slow
RUN sleep 4711
FROM box AS bad
RUN sleep 0.5; exit 9
FROM box
COPY --from=slow / /
COPY --from=bad / /
D
  begin=$SECONDS
  refuses 'non-zero code: 9'
  at_most 10 $((SECONDS - begin)) seconds
  eventually 5 nothing_of_builds
}

sdk() { # Docker's for Python: a context, arguments, limits, errors of both kinds
  python3 -c 'import docker' 2>/dev/null || skip "there is no python3-docker"
  fresh <<<$'FROM box AS one\nARG A\nRUN echo $A >/a\nFROM box\nCOPY --from=one /a /a\nCOPY . /c/\nCMD cat /a /c/kept && ! ls /c/left'
  echo kept >"$context/kept" && echo left >"$context/left" && echo left >"$context/.dockerignore"
  cat >"$work/sdk.py" <<'P'
import docker, io, sys
client = docker.from_env()
image, log = client.images.build(path=sys.argv[1], tag="sdk:1", buildargs={"A": "7"}, labels={"k": "v"}, rm=True, shmsize=1 << 26,
                                 container_limits={"memory": 1 << 28}, extra_hosts={"h": "192.0.2.1"}, platform="linux/amd64")
assert image.tags == ["sdk:1"] and image.labels == {"k": "v"}, (image.tags, image.labels)
assert any("Successfully tagged sdk:1" in line.get("stream", "") for line in log)
said = client.containers.run("sdk:1", remove=True, network_mode="none")
assert said == b"7\nkept\n", said
try:
    client.images.build(fileobj=io.BytesIO(b"FROM box\nRUN echo reason; exit 3\n"))
    raise SystemExit("a step that fails was built")
except docker.errors.BuildError as error:
    assert "non-zero code: 3" in str(error) and any("reason" in line.get("stream", "") for line in error.build_log)
try:
    client.images.build(fileobj=io.BytesIO(b"FROM box\nNONSENSE\n"))
    raise SystemExit("nonsense was built")
except docker.errors.APIError as error:
    assert error.response.status_code == 400 and "NONSENSE" in str(error)
P
  python3 "$work/sdk.py" "$context"
}

engine_start main || exit 1
image_make
case_of "several stages, one that nobody needs" several_stages
case_of "a stage has the arguments of the one it begins with" inherited_arguments
case_of "a step's hosts are its own" hosts_of_another
case_of "wildcards that match without an end" wildcards_without_end
case_of "what is ignored, behind a link" ignored_behind_links
case_of "what has not changed is not done again, also after a kill" cached
case_of "the same input gives the same image" same_image
case_of "builds at once do equal work once" shared
case_of "the cache is shown and pruned" pruned
case_of "mounts: caches stay, nothing gets into the image" mounted
case_of "a context's links do not lead outside" links_outside
case_of "an image's links do not lead outside" destinations_outside
case_of "a context brings no devices" devices
case_of "what is wrong is named, with its line" wrong_words
case_of "a step has the defences of a container" step_is_confined
case_of "steps are not among the containers" steps_are_nobodys_containers
case_of "the host's network is the client's to give" hosts_network
case_of "mounts over the whole file system" mounts_over_all
case_of "values that grow without end" values_that_grow
case_of "a stage that compiles for another platform" other_platform
case_of "caches that are locked in any order" caches_in_any_order
case_of "steps that change nothing" equal_layers
case_of "a trigger cannot take from a stage that is not built" trigger_without_a_stage
case_of "a client that goes ends its build" client_goes
case_of "an engine that dies in a step leaves nothing" engine_dies
case_of "a stage that fails ends the others" other_stage_stops
remove_all
case_of "Docker's SDK for Python" sdk
finish
