#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `berth build --output`, --push, --metadata-file, and caches that travel (--cache-to, --cache-from): what is written is
# what the image is, and hostile trees, destinations and caches get nowhere.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

registry_start() {
  registry=127.0.0.1:$((20000 + RANDOM % 10000))
  cat >"$work/registry.yml" <<YAML
version: 0.1
storage:
  filesystem:
    rootdirectory: $work/registry-data
http:
  addr: $registry
YAML
  setsid berth-registry serve "$work/registry.yml" >>"$work/registry.log" 2>&1 </dev/null &
  echo $! >"$work/registry.pid"
  disown $!
  eventually 20 curl -fs --max-time 5 -o /dev/null "http://$registry/v2/"
}
registry_end() { kill "$(cat "$work/registry.pid")" 2>/dev/null || true; }

digest_of() { sha256sum "$1" | cut -d' ' -f1; }
image_count() { b images -aq | wc -l; }

# The file system of an image, as `export` gives it.
exported() { # image
  local id
  id=$(b create "$1" /x)
  b export "$id"
  b rm "$id" >/dev/null
}
# One line an entry: type, mode, size, name, link target; owners and times where they are asked for.
entries() { # tar [field...]
  python3 - "$@" <<'PY'
import hashlib, sys, tarfile
fields = sys.argv[2:]
for e in sorted(tarfile.open(sys.argv[1]), key=lambda e: e.name):
    name = e.name.removeprefix("./").rstrip("/")
    if name in ("", "."): continue
    line = [e.type.decode(), "%o" % (e.mode & (0o7777 if "bits" in fields else 0o1777)), name,
            e.linkname.removeprefix("./") if e.islnk() else e.linkname]
    if e.isreg(): line.append(hashlib.sha256(tarfile.open(sys.argv[1]).extractfile(e).read()).hexdigest())
    if "owner" in fields: line.append("%d:%d" % (e.uid, e.gid))
    print(*line)
PY
}

# Something of everything: links of both kinds, a deep directory, modes, owners, an empty directory, odd names.
everything() {
  context <<'DOCKERFILE'
FROM box AS made
RUN mkdir -p /t/deep/er /t/empty '/t/odd name' && echo one >/t/one && ln /t/one /t/hard && ln -s one /t/soft && \
    ln -s /etc/passwd /t/absolute && ln -s ../../../../up /t/dangling && echo é >'/t/odd name/ü' && chmod 0700 /t/deep && \
    chmod 4755 /t/one && chown 1000:1001 /t/deep && mkfifo /t/fifo && chmod 1777 /t/empty && chmod 0555 /t/deep/er
FROM scratch
COPY --from=made /t /t
COPY --from=made /t/one /top
DOCKERFILE
}

tree_as_tar() {
  everything
  local before
  before=$(image_count)
  b build -q -o "type=tar,dest=$work/tree.tar" -t unwanted .
  is "$before" "$(image_count)" "images"
  fails b image inspect unwanted
  b build -q -o - . >"$work/standard.tar" # nothing else is said there
  cmp "$work/tree.tar" "$work/standard.tar"
  b build --progress plain -o type=tar,dest=- . >"$work/standard.tar" 2>"$work/said"
  cmp "$work/tree.tar" "$work/standard.tar"
  contains "$(cat "$work/said")" "[made 1/2]"
  b build -q -t wanted . >/dev/null
  exported wanted >"$work/export.tar"
  cmp "$work/tree.tar" "$work/export.tar"
  contains "$(entries "$work/tree.tar")" "t/odd name/ü"
}
tree_as_directory() {
  everything
  local before
  before=$(image_count)
  b build -q -o "$work/tree" .
  is "$before" "$(image_count)" "images"
  b build -q -t wanted . >/dev/null
  exported wanted >"$work/export.tar"
  tar --sort=name -C "$work/tree" -cf "$work/tree.tar" .
  # The same but for owners, and bits that would give the user's rights away.
  is "$(entries "$work/export.tar")" "$(entries "$work/tree.tar")"
  fails is "$(entries "$work/export.tar" bits)" "$(entries "$work/tree.tar" bits)"
  is 0:0 "$(stat -c %u:%g "$work/tree/t/deep")"
  is 755 "$(stat -c %a "$work/tree/t/one")"
  is 2 "$(stat -c %h "$work/tree/t/hard")"
  b build -q -o "type=local,dest=$work/tree" . # onto what is there
  is "$(entries "$work/export.tar")" "$(tar --sort=name -C "$work/tree" -cf "$work/tree.tar" . && entries "$work/tree.tar")"
}
tree_of_another_user() {
  everything
  mkdir "$work/theirs"
  chown 1000:1001 "$work/theirs"
  chmod 755 "$work" "$PWD"
  chmod 666 "$work/main/berth.sock"
  setpriv --reuid 1000 --regid 1001 --clear-groups env HOME=/ BERTH_CONFIG=/nowhere \
    timeout 40 "$BERTH_BIN/berth" build -q -o "$work/theirs/tree" .
  is 1000:1001 "$(stat -c %u:%g "$work/theirs/tree/t/deep/er")"
  is one "$(cat "$work/theirs/tree/t/one")"
  # A directory that is not theirs.
  mkdir "$work/ours"
  refused 1 '--output.*ours' setpriv --reuid 1000 --regid 1001 --clear-groups env HOME=/ BERTH_CONFIG=/nowhere \
    timeout 40 "$BERTH_BIN/berth" build -q -o "$work/ours" .
  is "" "$(ls -A "$work/ours")"
}
links_lead_nowhere() { # the destination's own, and those of the tree, in a second build too
  mkdir -p "$work/victim" "$work/trap"
  echo safe >"$work/victim/file"
  ln -s "$work/victim" "$work/trap/dir"
  ln -s "$work/victim/file" "$work/trap/plain"
  context <<'DOCKERFILE'
FROM box AS made
RUN mkdir -p /t/dir && echo evil >/t/dir/file && echo evil >/t/plain && ln -s ../../../victim /t/out
FROM scratch
COPY --from=made /t /
DOCKERFILE
  b build -q -o "$work/trap" .
  is safe "$(cat "$work/victim/file")"
  is evil "$(cat "$work/trap/plain")"
  context <<'DOCKERFILE'
FROM box AS made
RUN mkdir -p /t/out && echo evil >/t/out/file
FROM scratch
COPY --from=made /t /
DOCKERFILE
  b build -q -o "$work/trap" .
  is safe "$(cat "$work/victim/file")"
}
devices_are_left_out() {
  context <<'DOCKERFILE'
FROM nodes
DOCKERFILE
  mkdir "$work/made" && mknod "$work/made/null" c 1 3 && echo x >"$work/made/file"
  tar -C "$work/made" -c . | b import - nodes >/dev/null
  b build -q -o "$work/nodes" . 2>"$work/said" || { cat "$work/said"; false; }
  is file "$(ls "$work/nodes")"
  contains "$(cat "$work/said")" "1 devices were left out"
}
empty_tree() {
  context <<<$'FROM scratch\nLABEL a=b'
  b build -q -o "$work/none" .
  is "" "$(ls -A "$work/none")"
  is 0 "$(b build -q -o - . | tar -t | wc -l)"
}
wrong_destinations() {
  context <<<$'FROM box\nRUN echo >/x'
  echo mine >"$work/file"
  refused 1 '--output.*no directory' b build -q -o "$work/file" .
  refused 1 '--output.*is a directory' b build -q -o "type=tar,dest=$work" .
  refused 1 '--output.*cannot write' b build -q -o "type=oci,dest=$work/nowhere/at/all.tar" .
  refused 1 '--metadata-file.*cannot write' b build -q --metadata-file "$work/nowhere/m.json" .
  refused 1 '--output.*dest=' b build -q -o type=local .
  refused 1 '--output.*odd' b build -q -o type=odd .
  refused 1 '--output.*insecure' b build -q -o type=image,registry.insecure=true .
  is mine "$(cat "$work/file")"
  # A full disk while it is written: an error, and no half of a file.
  mkdir -p "$work/small"
  mount -t tmpfs -o size=64k none "$work/small"
  refused 1 '--output.*(space|full)' b build -q -o "type=tar,dest=$work/small/t.tar" .
  is "" "$(ls -A "$work/small")"
  umount "$work/small"
}
files_appear_whole() { # and by no name that somebody can guess
  everything
  echo safe >"$work/safe"
  ln -s safe "$work/whole.tar.part"
  b build -q -o "type=tar,dest=$work/whole.tar" .
  b create --name whole box /x >/dev/null
  b export -o "$work/whole.tar" whole
  b rm whole >/dev/null
  is safe "$(cat "$work/safe")"
  is "$work/whole.tar $work/whole.tar.part" "$(echo "$work"/whole.tar*)"
  # Several at once: each is whole, whichever is the last.
  local each pids=()
  for each in 1 2 3 4 5 6; do
    b build -q -o "type=tar,dest=$work/shared.tar" . &
    pids+=($!)
  done
  for each in "${pids[@]}"; do wait "$each"; done
  b build -q -o "type=tar,dest=$work/alone.tar" .
  cmp "$work/alone.tar" "$work/shared.tar"
  # Where files must have names, it is one that goes when it fails.
  mkdir "$work/named"
  without_proc() { unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' - timeout 40 berth "$@"; }
  without_proc build -q -o "type=tar,dest=$work/named/t.tar" .
  cmp "$work/alone.tar" "$work/named/t.tar"
  mount -t tmpfs -o size=64k none "$work/named"
  exits 1 without_proc save -o "$work/named/t.tar" box
  is "" "$(ls -A "$work/named")"
  umount "$work/named"
  is t.tar "$(ls -A "$work/named")"
  # What is no file is written to.
  mkfifo "$work/pipe"
  cat "$work/pipe" >"$work/piped.tar" &
  b save -o "$work/pipe" box
  wait $!
  contains "$(tar -tf "$work/piped.tar")" manifest.json
}
failure_leaves_nothing() {
  context <<<$'FROM box\nRUN exit 3'
  echo old >"$work/old.json"
  exits 1 b build -q -o "$work/not-made" --metadata-file "$work/old.json" .
  fails test -e "$work/not-made"
  fails test -e "$work/old.json"
}
what_describes_is_not_lost() { # neither what is no file, nor by what builds nothing
  context <<<$'FROM box\nRUN echo >/x'
  local file
  mknod "$work/device" c 1 3
  for file in link.iid link.json kept.iid kept.json; do echo old >"$work/$file"; done
  ln -sf link.iid "$work/iid"
  b build -q -t told --iidfile "$work/iid" --metadata-file "$work/device" . >/dev/null
  is "character special file" "$(stat -c %F "$work/device")"
  is "symbolic link" "$(stat -c %F "$work/iid")"
  is "$(b image inspect -f '{{.Id}}' told)" "$(cat "$work/link.iid")"
  fails b build --call=check --iidfile "$work/kept.iid" . 2>/dev/null
  exits 1 b build --iidfile "$work/kept.iid" --metadata-file "$work/kept.json" "$work/no-context"
  is $'old\nold' "$(cat "$work/kept.iid" "$work/kept.json")"
  refused 1 '--iidfile.*cannot write' b build -q --iidfile "$work/nowhere/id" .
  contains "$(b build -q -o type=local,dest="$work/no-id" --iidfile "$work/kept.iid" . 2>&1)" "no id to write"
}
layers_here() { ls "$work/main/data/layers"; }
results_are_let_go() { # and what was fetched by nobody can't be guessed
  local before result
  result=$(printf '%064d' 7)
  b builder prune -af >/dev/null
  before=$(layers_here)
  context <<<$'FROM box\nRUN head -c 16 /dev/urandom >/r'
  is 200 "$(printf '{"image":false,"result":"%s"}' "$result" | preamble_only)"
  b builder prune -af >/dev/null
  fails is "$before" "$(layers_here)" # as long as it is held, so are its layers
  is 204 "$(http DELETE "/berth/builds/$result")"
  is "$before" "$(layers_here)"
  # The command lets go of its own, also of what it cannot write.
  b build -q -o - . >/dev/null
  mkdir "$work/tiny"
  mount -t tmpfs -o size=64k none "$work/tiny"
  exits 1 b build -q -o "type=tar,dest=$work/tiny/t.tar" .
  umount "$work/tiny"
  b builder prune -af >/dev/null
  is "$before" "$(layers_here)"
  everything
  is 404 "$(http GET "/berth/builds/$(printf '%064d' 1)/tree")"
  is 400 "$(printf '{"image":false}' | preamble_only)"
  is 400 "$(printf '{"result":"short"}' | preamble_only)"
  # One that is held stays when its base image and the cache go.
  is 200 "$(printf '{"image":false,"result":"%s"}' "$result" | preamble_only)"
  b builder prune -af >/dev/null
  is 200 "$(http GET "/berth/builds/$result/tree")"
  contains "$(tar -tf "$work/answer")" t/one
  is 400 "$(http GET "/berth/builds/$result/archive?form=odd")"
  # Its name is taken: told before anything is done.
  context <<<$'FROM box\nRUN echo twice >/twice'
  is 409 "$(printf '{"result":"%s"}' "$result" | preamble_only t=twice)"
  fails b image inspect twice
  is 204 "$(http DELETE "/berth/builds/$result")"
  is 404 "$(http GET "/berth/builds/$result/tree")"
  # A build that fails gives it back.
  context <<<$'FROM box\nRUN exit 3'
  is 200 "$(printf '{"result":"%s"}' "$result" | preamble_only)"
  contains "$(cat "$work/answer")" errorDetail
  context <<<'FROM box'
  is 200 "$(printf '{"result":"%s"}' "$result" | preamble_only)"
  is 204 "$(http DELETE "/berth/builds/$result")"
}
preamble_only() { # [query]: the document is on standard input; the context is this directory
  local document
  document=$(cat)
  { printf '%s\n%s' "${#document}" "$document"; tar -c .; } >"$work/body"
  http POST "/build?${1:-}" -H 'Content-Type: application/vnd.berth.build' --data-binary "@$work/body"
}

docker_archive() {
  everything
  b build -q -o "type=docker,dest=$work/image.tar" -t saved:1 . >/dev/null
  fails b image inspect saved:1
  b load -q -i "$work/image.tar" >/dev/null
  b save saved:1 >"$work/save.tar"
  cmp "$work/image.tar" "$work/save.tar"
  b rmi saved:1 >/dev/null
}
oci_layout() {
  everything
  local id
  id=$(b build -q -o "type=oci,dest=$work/layout.tar" -t laid:1 --metadata-file "$work/m.json" .)
  fails b image inspect laid:1
  lacks "$(tar -tf "$work/layout.tar")" manifest.json
  is "$(tar -xOf "$work/layout.tar" index.json | json '["manifests"][0]["digest"]')" \
    "$(json '["containerimage.digest"]' <"$work/m.json")"
  is "$id" "$(json '["containerimage.config.digest"]' <"$work/m.json")"
  is docker.io/library/laid:1 "$(json '["image.name"]' <"$work/m.json")"
  b load -q -i "$work/layout.tar" >/dev/null
  is "$id" "$(b image inspect -f '{{.Id}}' laid:1)"
  b rmi laid:1 >/dev/null
  b build -q -o "type=oci,dest=$work/layout,tar=false" -t laid:1 . >/dev/null
  local blob
  for blob in "$work"/layout/blobs/sha256/*; do is "${blob##*/}" "$(digest_of "$blob")"; done
  cmp <(tar -xOf "$work/layout.tar" index.json) "$work/layout/index.json"
}
json() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
several_outputs() {
  everything
  b build -q -t both:1 --load -o "$work/both" -o "type=tar,dest=$work/both.tar" . >/dev/null
  b image inspect both:1 >/dev/null
  test -e "$work/both/top"
  contains "$(tar -tf "$work/both.tar")" top
}
pushed() {
  everything
  b build -q --push -t "$registry/pushed:1" -t "$registry/pushed:2" --metadata-file "$work/m.json" \
    --iidfile "$work/id" . >/dev/null
  local digest
  digest=$(json '["containerimage.digest"]' <"$work/m.json")
  is "$digest" "sha256:$(curl -fs "http://$registry/v2/pushed/manifests/1" \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' | sha256sum | cut -d' ' -f1)"
  is "$registry/pushed:1,$registry/pushed:2" "$(json '["image.name"]' <"$work/m.json")"
  is "$(cat "$work/id")" "$(json '["containerimage.config.digest"]' <"$work/m.json")"
  is "$(cat "$work/id")" "$(b image inspect -f '{{.Id}}' "$registry/pushed@$digest")"
  b build -q -o "type=image,name=$registry/other:1,push=true" . >/dev/null
  curl -fs -o /dev/null "http://$registry/v2/other/manifests/1" \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json'
  refused 1 'push' b build -q --push -t 127.0.0.1:1/nobody:1 --metadata-file "$work/m.json" .
  fails test -e "$work/m.json"
}

pushed_config() { # repository reference
  curl -fs "http://$registry/v2/$1/manifests/$2" -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' |
    json '["config"]["digest"]'
}
pushed_by_two() { # on one name: each pushes what it has built
  context <<<$'FROM box\nARG n\nRUN echo $n >/n'
  local round one two
  for round in 1 2 3; do
    b build -q --push -t "$registry/two:1" --build-arg "n=$round.1" --iidfile "$work/1.id" --metadata-file "$work/1.json" . >/dev/null &
    b build -q --push -t "$registry/two:1" --build-arg "n=$round.2" --iidfile "$work/2.id" --metadata-file "$work/2.json" . >/dev/null
    wait $!
    for one in 1 2; do
      is "$(cat "$work/$one.id")" "$(pushed_config two "$(json '["containerimage.digest"]' <"$work/$one.json")")" "pushed by $one"
    done
  done
  # Whatever the name stands for by then.
  one=$(cat "$work/1.id") two=$(cat "$work/2.id")
  b tag "$two" "$registry/two:1"
  is 200 "$(http POST "/images/$registry/two/push?tag=1&image=$one")"
  is "$one" "$(pushed_config two 1)"
  b tag "$two" "$one" # a name that looks like it
  b push -q "$registry/two:1" >/dev/null
  is "$two" "$(pushed_config two 1)"
  is 200 "$(http POST "/images/$registry/two/push?tag=1&image=$one")"
  is "$one" "$(pushed_config two 1)"
  http POST "/images/$registry/two/push?tag=1&image=sha256:$(printf '%064d' 1)" >/dev/null
  contains "$(cat "$work/answer")" "No such image: sha256:0"
  is 400 "$(http POST "/images/$registry/two/push?image=$one")"
  is 400 "$(http POST "/images/$registry/two/push?tag=1&image=odd")"
}

# --- caches that travel ----------------------------------------------------------------------------------------------------

# Results that nobody can come to twice: who has them has got them from the cache.
random_steps() {
  context <<'DOCKERFILE'
FROM box AS made
WORKDIR /made
RUN head -c 16 /dev/urandom | od -x >r
FROM box
COPY --from=made /made/r /r
RUN head -c 16 /dev/urandom | od -x >/s
DOCKERFILE
}
same_steps() { # results that are the same wherever they are come to
  context <<'DOCKERFILE'
FROM box AS made
RUN echo made >/m && echo more >/n
FROM box
COPY --from=made /m /m
RUN head -c 16 /dev/urandom | od -x >/s
DOCKERFILE
}
used() { grep -c ' CACHED$' <<<"$1" || true; }
forget_all() { # on the engine that is used now: the same box is all that it has
  b images -q | sort -u | xargs -r timeout 40 berth rmi -f >/dev/null
  b builder prune -af >/dev/null
  b pull -q "$registry/box:1" >/dev/null
  b tag "$registry/box:1" box
}
on_second() { # everything cached: nothing is done, and the image is the same
  local id
  engine_use main
  id=$(b image inspect -f '{{.Id}}' first)
  engine_use second
  forget_all
  said=$(b build -t second "$@" . 2>&1)
  is "$steps" "$(used "$said")" "steps from the cache: $said"
  is "$id" "$(b image inspect -f '{{.Id}}' second)"
  lacks "${said^^}" WARNING
}

cache_at_registry() {
  random_steps
  b build -q -t first --cache-to "type=registry,ref=$registry/cache:max,mode=max" . >/dev/null
  steps=4 on_second --cache-from "type=registry,ref=$registry/cache:max"
  # With a bare name, after a restart, and with nothing to fetch.
  engine_end second
  engine_start second
  is 4 "$(used "$(b build --cache-from "$registry/cache:max" . 2>&1)")"
  # The second gives on what it has got.
  b build -q --cache-from "$registry/cache:max" --cache-to "type=registry,ref=$registry/cache:again,mode=max" . >/dev/null
  steps=4 on_second --cache-from "$registry/cache:again"
}
cache_of_the_image_alone() { # mode=min: stages in between are done again
  same_steps
  b build -q -t first --cache-to "type=registry,ref=$registry/cache:min" . >/dev/null
  steps=2 on_second --cache-from "$registry/cache:min"
}
cache_in_the_image() {
  same_steps
  b build -q -t "$registry/inline:1" --push --cache-to type=inline . >/dev/null
  b tag "$registry/inline:1" first
  steps=2 on_second --cache-from "$registry/inline:1" --cache-to type=inline
  # Docker's own parameter: of an image that is here.
  forget_all
  b pull -q "$registry/inline:1" >/dev/null
  tar -c . >"$work/body"
  is 200 "$(http POST "/build?cachefrom=%5B%22$registry/inline:1%22%5D" -H 'Content-Type: application/x-tar' \
    --data-binary "@$work/body")"
  is 2 "$(grep -c 'Using cache' "$work/answer")"
  is 400 "$(http POST "/build?cachefrom=%7B%7D" -H 'Content-Type: application/x-tar' --data-binary "@$work/body")"
}
cache_in_a_directory() {
  random_steps
  b build -q -t first --cache-to "type=local,dest=$work/cache/dir,mode=max" . >/dev/null
  local blob
  for blob in "$work"/cache/dir/blobs/sha256/*; do is "${blob##*/}" "$(digest_of "$blob")"; done
  steps=4 on_second --cache-from "type=local,src=$work/cache/dir"
  # Onto the older one: what only the older one had goes, and wrong bytes do too.
  engine_use main
  echo >>"$work/cache/dir/oci-layout"
  for blob in "$work"/cache/dir/blobs/sha256/*; do truncate -s 7 "$blob"; break; done
  same_steps
  b build -q --cache-to "type=local,dest=$work/cache/dir,mode=max" . >/dev/null
  b build -q --cache-to "type=local,dest=$work/cache/new,mode=max" . >/dev/null
  diff -r "$work/cache/dir" "$work/cache/new"
  for blob in "$work"/cache/dir/blobs/sha256/*; do is "${blob##*/}" "$(digest_of "$blob")"; done
}
as_alice() { setpriv --reuid 1000 --regid 1001 --clear-groups env HOME=/ BERTH_CONFIG=/nowhere timeout 40 "$BERTH_BIN/berth" "$@"; }
cache_of_another() { # whoever passes a directory gets of it what he could read himself
  local cache=$work/private said
  same_steps
  b build -q -t first --cache-to "type=local,dest=$cache,mode=max" . >/dev/null
  engine_use second
  chmod 755 "$work" "$PWD" "$cache"
  chmod 666 "$work/second/berth.sock"
  find "$cache" -type f -exec chmod 600 {} +
  forget_all
  said=$(as_alice build --cache-from "type=local,src=$cache" . 2>&1)
  contains "$said" "$cache is not used: "
  contains "${said,,}" "permission denied"
  # Documents that are anybody's, and layers that are not.
  forget_all
  find "$cache" -type f -exec chmod 644 {} +
  find "$cache/blobs" -type f -exec sh -c 'grep -q "^{" "$1" || chmod 600 "$1"' sh {} \;
  said=$(as_alice build --cache-from "type=local,src=$cache" . 2>&1)
  contains "$said" "which is done here: "
  contains "${said,,}" "permission denied"
  find "$cache" -type f -exec chmod 644 {} +
  forget_all
  said=$(as_alice build --cache-from "type=local,src=$cache" . 2>&1)
  is 3 "$(used "$said")" "steps from the cache: $said"
}
cache_descriptors() { # places that were not passed, and twice the same
  context <<<'FROM scratch'
  is 400 "$(printf '{"cacheFrom":[{"type":"local","descriptor":0}]}' | preamble_only)"
  is 400 "$(printf '{"cacheFrom":[{"type":"local","path":"/"}]}' | preamble_only)"
  is 400 "$(printf '{"cacheFrom":[{"type":"local","descriptor":18446744073709551615}]}' | preamble_only)"
}
cache_is_not_there() { # a warning, not an error
  random_steps
  contains "$(b build --cache-from "$registry/nothing:1" . 2>&1)" "$registry/nothing:1 is not used"
  contains "$(b build --cache-from "type=local,src=$work/nowhere" . 2>&1)" "is not used"
  mkdir -p "$work/empty"
  contains "$(b build --cache-from "type=local,src=$work/empty" . 2>&1)" "is not used"
  b tag box "$registry/plain:1" && b push -q "$registry/plain:1" >/dev/null && b rmi "$registry/plain:1" >/dev/null
  contains "$(b build --cache-from "$registry/plain:1" . 2>&1)" "has no cache in it"
}
# Registries that accept, and then say nothing, or a little now and then; several, whose addresses are printed.
silent_registries() {
  python3 - "$@" <<'PY'
import socket, sys, threading, time
def trickle(listener):
    while True:
        peer, _ = listener.accept()
        def drip(peer=peer):
            try:
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 600:
                    peer.send(bytes([byte])); time.sleep(0.2)
            except OSError: pass
        threading.Thread(target=drip, daemon=True).start()
held = []
for kind in sys.argv[1:]:
    listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(64); held.append(listener)
    if kind == "trickle": threading.Thread(target=trickle, args=(listener,), daemon=True).start()
    print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
time.sleep(300)
PY
}
four_lines() { [ "$(wc -l <"$1")" = 4 ]; }
cache_says_nothing() { # waited for once, and not for long
  local begin=$SECONDS server each
  local -a from=() places
  silent_registries silent trickle silent silent >"$work/silent" &
  server=$!
  eventually 10 four_lines "$work/silent"
  mapfile -t places <"$work/silent"
  is 4 "${#places[@]}"
  for each in "${places[@]}"; do from+=(--cache-from "$each/cache:1"); done
  same_steps
  said=$(b build "${from[@]}" --cache-from "$registry/nothing:1" . 2>&1)
  kill "$server"
  for each in "${places[@]}"; do contains "$said" "$each/cache:1 is not used: it did not answer within 10 seconds"; done
  contains "$said" "$registry/nothing:1 is not used: "
  at_most $((20 * slowness)) $((SECONDS - begin)) "seconds of waiting"
}
cache_cannot_be_written() {
  random_steps
  exits 1 b build -q -t unnamed --cache-to type=registry,ref=127.0.0.1:1/no:1 .
  contains "$said" 'write the cache 127.0.0.1:1/no:1'
  fails b image inspect unnamed # what has failed has changed no name
  contains "$(b build --cache-to type=registry,ref=127.0.0.1:1/no:1,ignore-error=true . 2>&1)" 'write the cache'
  echo >"$work/no-directory"
  exits 1 b build -q --cache-to "type=local,dest=$work/no-directory" .
  contains "$said" "--cache-to $work/no-directory"
  refused 1 '--cache-to.*gha' b build -q --cache-to type=gha .
  refused 1 '--cache-from.*s3' b build -q --cache-from type=s3,bucket=x .
}

# Rewrites the cache in a directory: what its document says, and with it the names of document and manifest. The
# expression sees the document as `d`, the manifest as `m`.
rewrite() { # directory expression
  python3 - "$@" <<'PY'
import hashlib, json, os, sys
root, what = sys.argv[1:]
blobs = root + "/blobs/sha256/"
index = json.load(open(root + "/index.json"))
m = json.load(open(blobs + index["manifests"][0]["digest"][7:]))
d = json.load(open(blobs + m["config"]["digest"][7:]))
def put(document):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    name = hashlib.sha256(data).hexdigest()
    open(blobs + name, "wb").write(data)
    return {"digest": "sha256:" + name, "size": len(data)}
exec(what)
m["config"].update(put(d))
index["manifests"][0].update(put(m))
json.dump(index, open(root + "/index.json", "w"))
PY
}
liar() { # what it does to the cache; the words of the warning
  local id
  same_steps
  engine_use main
  rm -rf "$work/liar"
  b build -q -t first --cache-to "type=local,dest=$work/liar,mode=max" . >/dev/null
  id=$(b run --rm first cat /s)
  eval "$1"
  engine_use second
  forget_all
  warned=$(b build -t second --cache-from "type=local,src=$work/liar" . 2>&1)
  contains "$warned" "$2"
  is made "$(b run --rm second cat /m)"
  fails is "$id" "$(b run --rm second cat /s)"
  exits 0 b system df
}
lies() {
  local each="find '$work/liar/blobs/sha256' -type f -size +1k"
  liar "$each -exec truncate -s -100 {} +" "which is done here"
  liar "for f in \$($each); do printf X | dd of=\$f bs=1 seek=600 conv=notrunc status=none; done" "which is done here"
  liar "$each -delete" "which is done here"
  liar "$each -exec ln -sf /etc/passwd {} \\;" "which is done here"
  # Right blobs under wrong diffIDs, and diffIDs of other layers.
  liar "rewrite '$work/liar' 'd[\"diffIds\"] = [\"sha256:\" + \"%064x\" % i for i, _ in enumerate(d[\"diffIds\"])]'" \
    "which is done here"
  liar "rewrite '$work/liar' 'd[\"diffIds\"].append(d[\"diffIds\"].pop(0))'" "which is done here"
  liar "rewrite '$work/liar' 'm[\"layers\"].pop()'" "is not used"
  liar "rewrite '$work/liar' 'd[\"results\"][0][\"layer\"] = 77'" "is not used"
  liar "rewrite '$work/liar' 'd = 7'" "is not used"
  liar "rewrite '$work/liar' 'd = b\"x\" * 5000000'" "is not used"
  liar "rewrite '$work/liar' 'm[\"layers\"] = [dict(l, size=10**15) for l in m[\"layers\"]]'" "bytes, not 1000000000000000"
}
# What its file has really is a few hundred kilobytes; the rest are holes, and a gigabyte and a half comes out.
bomb() { # directory
  rewrite "$1" '
import io, subprocess, tarfile
entry = tarfile.TarInfo("zeros"); entry.size = 3 << 29
data = entry.tobuf()
packed = subprocess.run("(cat; head -c 1610612736 /dev/zero) | zstd -q -1", shell=True, input=data, stdout=subprocess.PIPE).stdout
claimed = 10**12
d["diffIds"] = ["sha256:" + "%064x" % 1]
for result in d["results"]: result["layer"] = 0
name = "%064x" % 2
with open(blobs + name, "wb") as file: file.write(packed); file.truncate(claimed)
m["layers"] = [dict(m["layers"][0], digest="sha256:" + name, size=claimed)]'
}
a_bomb() {
  liar "bomb '$work/liar'" "holds more than 100 times"
  # One attempt, whatever the number of steps that it has been for.
  is 1 "$(grep -c 'holds more than 100 times' <<<"$warned")" "attempts"
  at_most 500 "$(du -sm "$work/second/data" | cut -f1)" "megabytes of the data root"
}

# Makes layers of /m out of the cache in a directory: "evil" is in it, and $evil is their diffID.
poison() { # directory [megabytes that it has besides]
  evil=$(rewrite "$1" '
import io, os, tarfile
out = io.BytesIO()
tar = tarfile.open(fileobj=out, mode="w")
entry = tarfile.TarInfo("m"); entry.size = 5; tar.addfile(entry, io.BytesIO(b"evil\n"))
pad = os.urandom(int("'"${2:-0}"'") << 20)
entry = tarfile.TarInfo("pad"); entry.size = len(pad); tar.addfile(entry, io.BytesIO(pad)); tar.close()
layer = put(out.getvalue())
print(layer["digest"][7:])
d["diffIds"] = [layer["digest"]]
m["layers"] = [dict(m["layers"][0], **layer)]
for result in d["results"]: result["layer"] = 0')
}
# Right digests of a layer that the step would not give: who named it gets it, nobody else.
trust_is_not_shared() {
  local evil layer
  same_steps
  engine_use main
  rm -rf "$work/evil"
  b build -q -t first --cache-to "type=local,dest=$work/evil,mode=max" . >/dev/null
  poison "$work/evil"
  engine_use second
  forget_all
  b build -q -t trusting --cache-from "type=local,src=$work/evil" . >/dev/null
  is evil "$(b run --rm trusting cat /m)"
  b build -q -t careful . >/dev/null
  is made "$(b run --rm careful cat /m)"
  # Its bytes are the cache's, and go with it.
  layer=$work/second/data/layers/$evil
  b rmi -f trusting >/dev/null
  test -e "$layer"
  b builder prune -af >/dev/null
  fails test -e "$layer"
}
# Equal work that is done once is not what a cache gave, whoever is the first of the two.
trust_is_not_shared_at_once() {
  local evil first
  context <<'DOCKERFILE'
FROM box
RUN sleep 2; echo made >/m
DOCKERFILE
  engine_use main
  rm -rf "$work/slow"
  b build -q -t first --cache-to "type=local,dest=$work/slow,mode=max" . >/dev/null
  poison "$work/slow" 200
  engine_use second
  for first in trusting careful; do
    forget_all
    [ $first = trusting ] || { b build -q -t careful . >/dev/null & sleep 0.5; }
    b build -q -t trusting --cache-from "type=local,src=$work/slow" . >/dev/null &
    [ $first = careful ] || { sleep 0.2; b build -q -t careful . >/dev/null & }
    wait
    is evil "$(b run --rm trusting cat /m)" "$first is the first"
    is made "$(b run --rm careful cat /m)" "$first is the first"
  done
}
# A step over files of an imported stage has a result of its own. What such files have filled is another matter: a
# cache mount is shared by its id, and that is what it is for.
trust_and_cache_mounts() {
  local evil mounts=$work/second/data/build/cache-mounts
  context <<'DOCKERFILE'
FROM box AS made
RUN echo made >/m
FROM box
RUN --mount=type=cache,id=filled,target=/c,from=made cp /c/m /out
DOCKERFILE
  engine_use main
  rm -rf "$work/evil"
  b build -q --target made --cache-to "type=local,dest=$work/evil,mode=max" . >/dev/null
  poison "$work/evil"
  engine_use second
  forget_all
  b build -q -t trusting --cache-from "type=local,src=$work/evil" . >/dev/null
  is evil "$(b run --rm trusting cat /out)"
  engine_end second
  test -n "$(ls "$mounts")"
  rm -rf "${mounts:?}"/*
  engine_start second
  b build -q -t careful . >/dev/null
  is made "$(b run --rm careful cat /out)"
}

engine_start main
image_make
trap 'registry_end; clean_up' EXIT
registry_start
case_of "type=tar is what export gives, and no image" tree_as_tar
case_of "a directory has the tree, as the user's own" tree_as_directory
case_of "a directory of a user who is not root" tree_of_another_user
case_of "links lead nowhere" links_lead_nowhere
case_of "devices are left out" devices_are_left_out
case_of "a tree with nothing in it" empty_tree
case_of "destinations that are wrong" wrong_destinations
case_of "files appear when they are whole" files_appear_whole
case_of "a build that fails leaves nothing" failure_leaves_nothing
case_of "--iidfile and --metadata-file take nothing away" what_describes_is_not_lost
case_of "results are held until they are let go" results_are_let_go
case_of "type=docker,dest=" docker_archive
case_of "type=oci" oci_layout
case_of "several outputs" several_outputs
case_of "--push and its metadata" pushed
case_of "--push of two clients on one name" pushed_by_two
b tag box "$registry/box:1"
b push -q "$registry/box:1" >/dev/null
engine_start second
engine_use main
case_of "a cache at a registry" cache_at_registry
case_of "a cache of the image's layers alone" cache_of_the_image_alone
case_of "a cache in the image" cache_in_the_image
case_of "a cache in a directory" cache_in_a_directory
case_of "a cache in another's directory" cache_of_another
case_of "a cache whose directory was not passed" cache_descriptors
case_of "a cache that is not there" cache_is_not_there
case_of "caches that say nothing" cache_says_nothing
case_of "a cache that cannot be written" cache_cannot_be_written
case_of "caches that lie" lies
case_of "a bomb that claims to be large" a_bomb
case_of "what a cache gives is for who named it" trust_is_not_shared
case_of "what a cache gives is not another build's work" trust_is_not_shared_at_once
case_of "what a cache gives in a cache mount" trust_and_cache_mounts
registry_end
finish
