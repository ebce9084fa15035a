#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --build-context: images, OCI layouts and addresses in the place of what a Dockerfile names; and hostile layouts.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
export MOST_LINES=40 # of messages: progress and lines of the Dockerfile are among them

somebody=61234
build() { b build -q -t out "$@" . >/dev/null; }
out() { b run --rm --network none out "$@"; }
layout=$work/layout

# An OCI layout with the image $1, of which the engine has nothing any more: its files /mark and /data, new ones each time.
layout_make() { # tag [directory]
  local into=${2:-$layout}
  rm -rf "$into"
  printf 'FROM box\nENV from=layout-%s\nRUN echo %s >/mark && head -c 3000 /dev/urandom >/data\n' "$1" "$1" |
    b build -q --no-cache -o "type=oci,dest=$into,tar=false" -t "laid:$1" - >/dev/null
  b builder prune -af >/dev/null
}
# Changes of a layout by Python: `index`, `manifest`, `config` are its documents, `blob(digest)` a path; what is in `manifest` then is
# written as its new manifest.
layout_change() { # code [directory]
  python3 - "${2:-$layout}" "$1" <<'P'
import hashlib, json, os, sys
top, code = sys.argv[1:]
blob = lambda digest: os.path.join(top, "blobs/sha256", digest.split(":")[1])
def put(document):
    data = json.dumps(document).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    open(blob(digest), "wb").write(data)
    return {"digest": digest, "size": len(data)}
index = json.load(open(os.path.join(top, "index.json")))
manifest = json.load(open(blob(index["manifests"][0]["digest"])))
config = json.load(open(blob(manifest["config"]["digest"])))
before = json.dumps(manifest)
exec(code)
if json.dumps(manifest) != before: index["manifests"][0].update(put(manifest))
if index is not None: json.dump(index, open(os.path.join(top, "index.json"), "w"))
P
}
last='last = manifest["layers"][-1]; '

layouts() {
  layout_make 1
  context <<'D'
FROM laid AS base
RUN echo "$from" >/variable
FROM box
COPY --from=laid /mark /copied
COPY --from=base /variable /
RUN --mount=type=bind,from=laid,target=/l cp /l/mark /mounted
D
  build --build-context laid="oci-layout://$layout:1"
  is "1 1 layout-1" "$(out cat /copied /mounted /variable | xargs)"
  is "" "$(b images -q laid)"
  # Relative, and with nothing behind it: the only image that there is.
  cp -a "$layout" here
  build --build-context laid=oci-layout://./here
  is "$(sha256sum <"$layout/index.json")" "$(sha256sum <here/index.json)"
  # What is on it stays when the layout and the cache are gone, and can be saved.
  context <<<'FROM laid'
  build --build-context laid="oci-layout://$layout"
  rm -rf "$layout"
  b builder prune -af >/dev/null
  is "1 layout-1" "$(out sh -c 'echo $(cat /mark) $from')"
  b save out >/dev/null
}
layouts_by_tag_and_digest() {
  layout_make one
  layout_make two "$work/two"
  cp -n "$work"/two/blobs/sha256/* "$layout/blobs/sha256/"
  local digest
  digest=$(python3 -c "import json;print(json.load(open('$work/two/index.json'))['manifests'][0]['digest'])")
  layout_change "index['manifests'] += json.load(open('$work/two/index.json'))['manifests']"
  context <<<'FROM laid'
  local place wanted
  while read -r place wanted; do
    build --build-context laid="oci-layout://$layout$place"
    is "$wanted" "$(out cat /mark)" "image at $place"
  done <<E
:one one
:two two
@$digest two
:two@$digest two
E
  refused 1 'laid.*several images.*tags one, two' b build --build-context laid="oci-layout://$layout" .
  refused 1 'no image with the tag three.*one, two' b build --build-context laid="oci-layout://$layout:three" .
  refused 1 'blobs/sha256/0000' b build --build-context laid="oci-layout://$layout@sha256:$(printf '0%.0s' {1..64})" .
  refused 1 'digest' b build --build-context laid="oci-layout://$layout@sha256:12" .
  # Entries with one tag are platforms of one image.
  layout_change 'for entry, platform in zip(index["manifests"], ("amd64", "arm64")):
    entry["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    entry["platform"] = {"os": "linux", "architecture": platform}'
  build --platform linux/amd64 --build-context laid="oci-layout://$layout:x"
  is one "$(out cat /mark)"
  refused 1 'laid.*no image for linux/s390x' b build --platform linux/s390x --build-context laid="oci-layout://$layout:x" .
  rm -rf "$work/two"
}
wrong() { # regex change: of a layout that is in order
  rm -rf "$layout"
  cp -a "$work/good" "$layout"
  layout_change "$2"
  refused 1 "$1" b build --build-context laid="oci-layout://$layout" .
}
hostile_layouts() {
  context <<<'FROM laid'
  echo outside-secret >"$work/outside"
  layout_make 1 "$work/good"
  wrong 'layer .*other bytes' "$last"'data = bytearray(open(blob(last["digest"]), "rb").read()); data[data.index(b"data") + 700] ^= 1; open(blob(last["digest"]), "wb").write(data)'
  wrong 'blobs/sha256/.*has [0-9]+ bytes, not 5' "$last"'last["size"] = 5'
  wrong 'blobs/sha256/.*[Nn]o such file' "$last"'os.remove(blob(last["digest"]))'
  wrong 'blobs/sha256/.*[Nn]o such file' 'os.remove(blob(manifest["config"]["digest"]))'
  wrong 'has other bytes' 'open(blob(index["manifests"][0]["digest"]), "a").write(" ")'
  wrong 'has [0-9]+ bytes, not' 'index["manifests"][0]["size"] += 1'
  wrong 'has [0-9]+ bytes, not' 'manifest["config"]["size"] += 1'
  wrong 'lists [0-9]+ layers, its config' 'manifest["layers"].append(manifest["layers"][0])'
  wrong 'not an image' 'manifest["config"]["mediaType"] = "application/vnd.example"'
  wrong 'is no layer' "$last"'last["mediaType"] = "application/vnd.example"'
  wrong 'promised' 'config["rootfs"]["diff_ids"][-1] = "sha256:" + "7" * 64; manifest["config"].update(put(config))'
  wrong 'not for|no image for' 'config["architecture"] = "s390x"; manifest["config"].update(put(config))'
  wrong 'no such|not regular|not a regular|is a|no regular' "$last"'os.remove(blob(last["digest"])); os.mkfifo(blob(last["digest"]))'
  wrong 'no such file' "$last"'os.remove(blob(last["digest"])); os.symlink("'"$work/outside"'", blob(last["digest"]))'
  lacks "$said" outside-secret
  wrong 'no such file|no index.json' 'path = os.path.join(top, "index.json"); os.remove(path); os.symlink("'"$work/outside"'", path); index = None'
  lacks "$said" outside-secret
  wrong 'no OCI layout' 'os.remove(os.path.join(top, "index.json")); index = None'
  wrong 'index.json' 'open(os.path.join(top, "index.json"), "w").write("{" * 100000); index = None'
  wrong 'index.json' 'os.truncate(os.path.join(top, "index.json"), 1 << 40); index = None'
  wrong 'lists no image' 'index["manifests"] = []'
  wrong 'nested|other bytes|manifest' 'inner = index["manifests"][0]
for _ in range(9): inner = dict(put({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [inner]}), mediaType="application/vnd.oci.image.index.v1+json")
index["manifests"] = [inner]'
  refused 1 'nowhere' b build --build-context laid=oci-layout://nowhere .
  refused 1 'no directory' b build --build-context laid=oci-layout://:x .
  BERTH_HOST=tcp://127.0.0.1:9 refused 1 'own socket|connect' b build --build-context laid="oci-layout://$layout" .
  # None of it has left a layer, or harmed what is here.
  build --build-context laid="oci-layout://$work/good"
  is "" "$(b system check 2>&1 | grep -iE 'damaged|unused' || true)"
}
links_within_a_layout() { # lead nowhere else, but within
  layout_make 1
  layout_change "$last"'os.rename(blob(last["digest"]), os.path.join(top, "elsewhere")); os.symlink("/elsewhere", blob(last["digest"]))'
  context <<<'FROM laid'
  build --build-context laid="oci-layout://$layout"
  is 1 "$(out cat /mark)"
}
layouts_of_another_user() { # are read with his permissions
  layout_make 1
  context <<<'FROM laid'
  chmod 711 "$work" && chmod 666 "${BERTH_HOST#unix://}" && chmod 755 .
  local as=(env HOME="$work/nowhere" setpriv --reuid "$somebody" --regid "$somebody" --clear-groups "$BERTH_BIN/berth" build -q -t out --build-context "laid=oci-layout://$layout" .)
  chmod -R a+rX "$layout"
  chmod 600 "$layout"/blobs/sha256/*
  refused 1 'permission denied' "${as[@]}"
  chown -R "$somebody" "$layout"
  "${as[@]}" >/dev/null
  is 1 "$(out cat /mark)"
}
instead_of_images() {
  printf 'FROM box\nRUN echo marked >/mark\n' | b build -q -t marked - >/dev/null
  local base
  for base in alpine alpine:latest docker.io/library/alpine; do
    context <<<"FROM $base"$'\n'"COPY --from=alpine /mark /n"
    build --build-context alpine=docker-image://marked
    is "marked marked" "$(out cat /mark /n | xargs)"
    build --build-context "$base=docker-image://marked:latest"
  done
  # A stage of the name, too.
  context <<<$'FROM box AS tools\nRUN exit 3\nFROM box\nCOPY --from=tools /mark /m'
  build --build-context tools=docker-image://marked
  is marked "$(out cat /m)"
  context <<<$'FROM nothing\nCOPY f /'
  echo f >f
  build --build-context nothing=docker-image://scratch
  is 1 "$(b inspect -f '{{len .RootFS.Layers}}' out)"
  refused 1 'FROM takes an image' b build -q --build-context nothing=. .
  refused 1 'none of docker-image://' b build -q --build-context nothing=target:x .
  refused 1 'none of docker-image://' b build -q --build-context nothing=ftp://x .
}
addresses() {
  mkdir "$work/web" && echo served >"$work/web/some-file"
  python3 -u -m http.server --bind 127.0.0.1 --directory "$work/web" 0 >"$work/web.log" 2>&1 </dev/null &
  echo $! >"$work/web.pid"
  eventually 60 grep -q port "$work/web.log"
  local web
  web=http://127.0.0.1:$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/web.log")
  context <<'D'
FROM box AS one
COPY --from=site /context /a
FROM box
COPY --from=one /a /
COPY --from=site context /b
RUN --mount=type=bind,from=site,target=/s cp /s/context /c && ls /s >/names
D
  build --build-context site="$web/some-file"
  is "served served served context" "$(out cat /a /b /c /names | xargs)"
  is 1 "$(grep -c GET "$work/web.log")" requests
  echo changed >"$work/web/some-file"
  build --build-context site="$web/some-file"
  is "changed" "$(out cat /b)"
  refused 1 'site.*404' b build --build-context site="$web/nothing" .
  refused 1 'FROM takes an image' b build --build-context one="$web/some-file" - <<<$'FROM one'
  kill "$(cat "$work/web.pid")"
  # Not asked for what is not needed.
  context <<<'FROM box'
  build --build-context site="$web/some-file"
  is "" "$(find "$work/main/data/build/contexts" -mindepth 1)"
}

trap 'kill "$(cat "$work/web.pid" 2>/dev/null)" 2>/dev/null; clean_up' EXIT
engine_start main || exit 1
image_make
case_of "an image in an OCI layout: FROM, COPY --from and mounts" layouts
case_of "which image of a layout: tags, digests, platforms" layouts_by_tag_and_digest
case_of "layouts that lie, lack something or lead elsewhere" hostile_layouts
case_of "links within a layout" links_within_a_layout
case_of "layouts are read with the client's permissions" layouts_of_another_user
case_of "images instead of images and stages" instead_of_images
case_of "addresses" addresses
finish
