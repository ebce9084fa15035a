#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The registry from the outside: the distribution specification by raw HTTP, other clients (docker, skopeo, podman, buildah), passwords, TLS,
# kill -9 in the middle of pushes, a lost database, and garbage collection while it serves. Needs no engine.
#
#   ROUNDS=20 tests/registry_e2e.sh    kills that often during deletions and garbage collection
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-10}
[ -x "$BERTH_BIN/berth-registry" ] || { echo "FAIL: there is no berth-registry in $BERTH_BIN"; exit 1; }

# --- registries: each has a name, and all of it below $work/<name> ---

config() { # name [more YAML]: the registry's configuration
  mkdir -p "$work/$1"
  cat >"$work/$1/config.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/$1/data}, delete: {enabled: true}}
${2:-http: {addr: "127.0.0.1:0"\}}
${3:-}
YAML
}
registry_start() { # name
  local attempt port
  : >"$work/$1/log.now"
  setsid berth-registry serve "$work/$1/config.yml" >"$work/$1/log.now" 2>&1 </dev/null &
  echo $! >"$work/$1/registry.pid"
  disown $!
  for ((attempt = 0; attempt < 200 * slowness; attempt++)); do
    port=$(sed -n 's/.*(on port \([0-9]*\)).*/\1/p' "$work/$1/log.now" | tail -n 1)
    if [ -n "$port" ]; then
      echo "127.0.0.1:$port" >"$work/$1/address"
      return 0
    fi
    sleep 0.05
  done
  cat "$work/$1/log.now"
  return 1
}
registry_end() { # name [signal]
  local pid
  pid=$(cat "$work/$1/registry.pid")
  kill -"${2:-TERM}" "$pid" 2>/dev/null || true
  eventually 20 gone "$pid"
  cat "$work/$1/log.now" >>"$work/$1/log"
}
at() { cat "$work/$1/address"; } # name
end_registries() {
  local file
  for file in "$work"/*/{registry,socat}.pid; do [ ! -f "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null; done
}
trap 'end_registries; clean_up' EXIT

# --- requests ---

status() { # curl argument...: the status; headers in $work/head, the body in $work/body
  curl -s --max-time $((30 * slowness)) -D "$work/head" -o "$work/body" -w '%{http_code}' "$@"
}
header() { tr -d '\r' <"$work/head" | awk -F': ' -v want="$1" 'tolower($1) == want { print $2 }' | tail -n 1; }
error_is() { is "$1" "$(jq -r '.errors[0].code' "$work/body")" "the error's code"; }
digest_of() { echo "sha256:$(sha256sum | cut -d' ' -f1)"; }
zeros=sha256:0000000000000000000000000000000000000000000000000000000000000000
oci_manifest=application/vnd.oci.image.manifest.v1+json
oci_index=application/vnd.oci.image.index.v1+json

push_blob() { # address repository text
  local digest
  digest=$(printf %s "$3" | digest_of)
  is 201 "$(printf %s "$3" | status -X POST -H 'Content-Type: application/octet-stream' --data-binary @- \
    "http://$1/v2/$2/blobs/uploads/?digest=$digest")"
}
manifest_of() { # config text, layer text [more members]
  printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%d}]%s}' \
    "$oci_manifest" "$(printf %s "$1" | digest_of)" ${#1} "$(printf %s "$2" | digest_of)" ${#2} "${3:-}"
}
put_manifest() { # address repository reference text [media type]: the status
  printf %s "$4" | status -X PUT -H "Content-Type: ${5:-$oci_manifest}" --data-binary @- "http://$1/v2/$2/manifests/$3"
}
push_image() { # address repository tag config layer
  push_blob "$1" "$2" "$4"
  push_blob "$1" "$2" "$5"
  is 201 "$(put_manifest "$1" "$2" "$3" "$(manifest_of "$4" "$5")")"
}

# --- the specification ---

ping() {
  is 200 "$(status "http://$R/v2/")"
  is registry/2.0 "$(header docker-distribution-api-version)"
  is 200 "$(status "http://$R/healthz")"
}
chunked_upload() {
  local url digest
  is 202 "$(status -X POST "http://$R/v2/raw/a/blobs/uploads/")"
  url=http://$R$(header location)
  is 202 "$(status -X PATCH -H 'Content-Range: 0-4' -d hello "$url")"
  is 0-4 "$(header range)"
  is 416 "$(status -X PATCH -H 'Content-Range: 50-54' -d world "$url")"
  is 0-4 "$(header range)" "where to go on"
  is 400 "$(status -X PATCH -H 'Content-Range: 5-7' -d world "$url")"
  error_is SIZE_INVALID
  is 204 "$(status "$url")"
  is 0-4 "$(header range)"
  is 202 "$(status -X PATCH -H 'Content-Range: 5-9' -d world "$url")"
  is 202 "$(printf streamed | status -X PATCH -H 'Transfer-Encoding: chunked' --data-binary @- "$url")"
  digest=$(printf helloworldstreamedend | digest_of)
  is 201 "$(status -X PUT -d end "$url?digest=$digest")"
  is "$digest" "$(header docker-content-digest)"
  is helloworldstreamedend "$(curl -s "http://$R$(header location)")"
  is 404 "$(status "$url")" "an upload that is over"
  error_is BLOB_UPLOAD_UNKNOWN
}
cancelled_upload() {
  local url
  is 202 "$(status -X POST "http://$R/v2/raw/a/blobs/uploads/")"
  url=http://$R$(header location)
  is 404 "$(status -X PATCH -d x "${url/raw\/a/raw\/b}")" "an upload under another repository's name"
  is 204 "$(status -X DELETE "$url")"
  is 404 "$(status -X PATCH -d x "$url")"
}
wrong_digest() {
  is 400 "$(status -X POST -d hello "http://$R/v2/raw/a/blobs/uploads/?digest=$zeros")"
  error_is DIGEST_INVALID
  is 404 "$(status "http://$R/v2/raw/a/blobs/$zeros")"
  error_is BLOB_UNKNOWN
  is 400 "$(status "http://$R/v2/raw/a/blobs/sha256:abc")"
  error_is DIGEST_INVALID
}
ranges() {
  local blob
  push_blob "$R" raw/a 0123456789
  blob=http://$R/v2/raw/a/blobs/$(printf 0123456789 | digest_of)
  is 206 "$(status -H 'Range: bytes=5-7' "$blob")"
  is 567 "$(cat "$work/body")"
  is 'bytes 5-7/10' "$(header content-range)"
  is 89 "$(curl -s -H 'Range: bytes=-2' "$blob")"
  is 89 "$(curl -s -H 'Range: bytes=8-' "$blob")"
  is 9 "$(curl -s -H 'Range: bytes=9-999999999999' "$blob")"
  is 416 "$(status -H 'Range: bytes=10-' "$blob")"
  is 'bytes */10' "$(header content-range)"
  is 200 "$(status -H 'Range: bytes=0-1,3-4' "$blob")"
  is 200 "$(status -I "$blob")"
  is 10 "$(header content-length)"
  is 304 "$(status -H "If-None-Match: \"${blob##*/}\"" "$blob")"
}
mounts() {
  local digest
  push_blob "$R" mount/from content
  digest=$(printf content | digest_of)
  is 404 "$(status "http://$R/v2/mount/to/blobs/$digest")" "a blob of another repository"
  is 201 "$(status -X POST "http://$R/v2/mount/to/blobs/uploads/?mount=$digest&from=mount/from")"
  is content "$(curl -s "http://$R/v2/mount/to/blobs/$digest")"
  is 202 "$(status -X POST "http://$R/v2/mount/to/blobs/uploads/?mount=$zeros&from=mount/from")"
  is 202 "$(status -X POST "http://$R/v2/mount/to/blobs/uploads/?mount=$digest&from=mount/none")"
}
manifests() {
  local text digest
  push_image "$R" t/bb 1 '{"a":1}' layer
  text=$(manifest_of '{"a":1}' layer)
  digest=$(printf %s "$text" | digest_of)
  is 200 "$(status "http://$R/v2/t/bb/manifests/1")"
  is "$text" "$(cat "$work/body")" "the manifest's bytes"
  is "$digest" "$(header docker-content-digest)"
  is "$oci_manifest" "$(header content-type)"
  is 200 "$(status -I "http://$R/v2/t/bb/manifests/$digest")"
  is ${#text} "$(header content-length)"
  is 404 "$(status "http://$R/v2/t/bb/manifests/nope")"
  error_is MANIFEST_UNKNOWN
  is 404 "$(put_manifest "$R" t/bb 2 "$(manifest_of '{"a":2}' layer)")" "one whose config is missing"
  error_is MANIFEST_BLOB_UNKNOWN
  is 404 "$(put_manifest "$R" t/elsewhere 1 "$text")" "one whose blobs are in another repository"
  is 400 "$(put_manifest "$R" t/bb 2 '{bad')"
  error_is MANIFEST_INVALID
  is 400 "$(put_manifest "$R" t/bb 2 "${text/\"layers\"/\"manifests\":[],\"layers\"}")" "one that is two things at once"
  is 400 "$(put_manifest "$R" t/bb 2 "$text" "$oci_index")" "a type that it is not"
  is 400 "$(put_manifest "$R" t/bb "$zeros" "$text")"
  error_is DIGEST_INVALID
  is 400 "$(put_manifest "$R" t/bb .2 "$text")"
  error_is TAG_INVALID
  head -c 4200000 /dev/zero | tr '\0' ' ' >"$work/huge"
  is 413 "$(status -X PUT -H "Content-Type: $oci_manifest" -T "$work/huge" "http://$R/v2/t/bb/manifests/2")"
}
indexes() {
  local text size index
  text=$(manifest_of '{"a":1}' layer) size=${#text}
  entry() { printf '{"mediaType":"%s","digest":"%s","size":%d,"platform":{"os":"linux","architecture":"%s"}}' "$oci_manifest" "$1" "$size" "$2"; }
  index=$(printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s,%s]}' "$oci_index" \
    "$(entry "$(printf %s "$text" | digest_of)" amd64)" "$(entry "$(printf %s "$text" | digest_of)" riscv64)")
  is 201 "$(put_manifest "$R" t/bb multi "$index" "$oci_index")"
  is "$index" "$(curl -s "http://$R/v2/t/bb/manifests/multi")"
  is 404 "$(put_manifest "$R" t/idx multi "$index" "$oci_index")" "an index of manifests that are elsewhere"
}
paging() {
  local tag
  for tag in c a b; do is 201 "$(put_manifest "$R" t/bb $tag "$(manifest_of '{"a":1}' layer)")"; done
  is '["1","a","b","c","multi"]' "$(curl -s "http://$R/v2/t/bb/tags/list" | jq -c .tags)"
  is 200 "$(status "http://$R/v2/t/bb/tags/list?n=2")"
  is '["1","a"]' "$(jq -c .tags "$work/body")"
  is '</v2/t/bb/tags/list?last=a&n=2>; rel="next"' "$(header link)"
  is '["b","c"]' "$(curl -s "http://$R/v2/t/bb/tags/list?last=a&n=2" | jq -c .tags)"
  is 200 "$(status "http://$R/v2/t/bb/tags/list?last=c&n=2")"
  is "" "$(header link)" "a link after the last page"
  is '[]' "$(curl -s "http://$R/v2/t/bb/tags/list?n=0" | jq -c .tags)"
  is 400 "$(status "http://$R/v2/t/bb/tags/list?n=x")"
  is 404 "$(status "http://$R/v2/t/none/tags/list")"
  error_is NAME_UNKNOWN
  contains "$(curl -s "http://$R/v2/_catalog")" '"t/bb"'
  is 1 "$(curl -s "http://$R/v2/_catalog?n=1" | jq '.repositories | length')"
}
referrers() {
  local subject empty signature
  subject=$(printf %s "$(manifest_of '{"a":1}' layer)" | digest_of)
  push_blob "$R" t/bb '{}'
  empty=$(printf '{}' | digest_of)
  signature=$(printf '{"schemaVersion":2,"mediaType":"%s","artifactType":"application/x.sig","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":2},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":2}],"subject":{"mediaType":"%s","digest":"%s","size":1},"annotations":{"k":"<v>"}}' \
    "$oci_manifest" "$empty" "$empty" "$oci_manifest" "$subject")
  is 201 "$(put_manifest "$R" t/bb "$(printf %s "$signature" | digest_of)" "$signature")"
  is "$subject" "$(header oci-subject)"
  is 200 "$(status "http://$R/v2/t/bb/referrers/$subject")"
  is "$oci_index" "$(header content-type)"
  jq -e '.schemaVersion == 2 and (.manifests | length == 1) and .manifests[0].artifactType == "application/x.sig"
         and .manifests[0].annotations.k == "<v>"' "$work/body"
  is 200 "$(status "http://$R/v2/t/bb/referrers/$subject?artifactType=application/x.sbom")"
  is artifactType "$(header oci-filters-applied)"
  is 0 "$(jq '.manifests | length' "$work/body")"
  is '[]' "$(curl -s "http://$R/v2/t/bb/referrers/$zeros" | jq -c .manifests)"
  is 400 "$(status "http://$R/v2/t/bb/referrers/latest")"
}
deletion() {
  local digest
  push_image "$R" del/a 1 '{"d":1}' dlayer
  is 201 "$(put_manifest "$R" del/a 2 "$(manifest_of '{"d":1}' dlayer)")"
  digest=$(manifest_of '{"d":1}' dlayer | digest_of)
  is 202 "$(status -X DELETE "http://$R/v2/del/a/manifests/1")"
  is 404 "$(status "http://$R/v2/del/a/manifests/1")"
  is 200 "$(status "http://$R/v2/del/a/manifests/2")"
  is 202 "$(status -X DELETE "http://$R/v2/del/a/manifests/$digest")"
  is 404 "$(status "http://$R/v2/del/a/manifests/2")" "a tag of a deleted manifest"
  is 404 "$(status -X DELETE "http://$R/v2/del/a/manifests/$digest")"
  is 202 "$(status -X DELETE "http://$R/v2/del/a/blobs/$(printf dlayer | digest_of)")"
  is 404 "$(status "http://$R/v2/del/a/blobs/$(printf dlayer | digest_of)")"
}
hostile_paths() {
  local path
  for path in '..%2f..%2fetc/manifests/x' 'A/manifests/x' 'a//b/manifests/x' 'a/../b/manifests/x' 'a/manifests/%00' \
    'a/b' "$(printf 'a%.0s' {1..300})/tags/list" 'a/blobs/uploads/../../x' 'a/blobs/uploads/%2e%2e'; do
    case $(status --path-as-is "http://$R/v2/$path") in 400 | 404) ;; *) echo "$path: $(cat "$work/head")"; return 1 ;; esac
  done
  is 405 "$(status -X DELETE "http://$R/v2/")"
  error_is UNSUPPORTED
  is 200 "$(status "http://$R/v2/")"
}
many_uploads() { # one client does not get all there is
  local i code
  for i in {1..64}; do status -X POST "http://$R/v2/flood/a/blobs/uploads/" >/dev/null; header location >>"$work/flood"; done
  code=$(status -X POST "http://$R/v2/flood/a/blobs/uploads/")
  is 429 "$code"
  error_is TOOMANYREQUESTS
  while read -r i; do status -X DELETE "http://$R$i" >/dev/null; done <"$work/flood"
  is 202 "$(status -X POST "http://$R/v2/flood/a/blobs/uploads/")"
}
pages() {
  is 200 "$(status "http://$R/")"
  contains "$(header content-security-policy)" "default-src 'none'"
  contains "$(cat "$work/body")" 'href="/ui/t/bb"'
  is 200 "$(status "http://$R/ui/t/bb?ref=multi")"
  contains "$(cat "$work/body")" linux/riscv64
  is 200 "$(status "http://$R/ui/t/bb?ref=1")"
  contains "$(cat "$work/body")" application/x.sig
  is 404 "$(status "http://$R/ui/t/bb?ref=%3Cscript%3E")"
  lacks "$(cat "$work/body")" '<script'
  contains "$(curl -s "http://$R/metrics")" 'registry_http_requests_total{endpoint="manifest",status="2xx"}'
}

seen() { # path [flag...]: the page as a browser has understood it
  local program
  program=$(command -v chromium-headless-shell || command -v chromium) || skip "there is no chromium"
  timeout $((60 * slowness)) "$program" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" \
    --dump-dom "${@:2}" "http://$R$1" 2>"$work/browser.log"
}
browsed() {
  local page empty text
  page=$(seen /)
  contains "$page" '<a href="/ui/t/bb">t/bb</a>'
  page=$(seen /ui/t/bb)
  contains "$page" linux/riscv64
  page=$(seen "/ui/t/bb?ref=1")
  contains "$page" application/x.sig
  contains "$page" "$(printf layer | digest_of)"
  # What a client wrote is text for the browser, whatever it looks like.
  empty=$(printf '{}' | digest_of)
  text=$(printf '{"schemaVersion":2,"artifactType":"</td><script>document.title=1</script><img src=x onerror=document.title=2>","config":{"mediaType":"\\"><b id=x>","digest":"%s","size":2},"layers":[]}' "$empty")
  is 201 "$(put_manifest "$R" t/bb hostile "$text")"
  page=$(seen "/ui/t/bb?ref=hostile")
  contains "$page" '<title>Berth registry</title>'
  contains "$page" '&lt;b id=x&gt;'
  lacks "$page" '<script'
  lacks "$page" '<img'
  lacks "$page" '<b '
  if grep -iE 'CONSOLE|Refused|Content Security' "$work/browser.log"; then return 1; fi
}

# --- another client ---

make_layout() { # directory: an OCI layout with one image, of a layer of 3 MB
  python3 - "$1" <<'PY'
import gzip, hashlib, io, json, os, sys, tarfile
top = sys.argv[1]
os.makedirs(top + "/blobs/sha256")
def put(data):
    name = hashlib.sha256(data).hexdigest()
    with open(f"{top}/blobs/sha256/{name}", "wb") as file: file.write(data)
    return {"digest": "sha256:" + name, "size": len(data)}
raw = io.BytesIO()
with tarfile.open(fileobj=raw, mode="w") as tar:
    content = os.urandom(3_000_000)
    entry = tarfile.TarInfo("data"); entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
layer = put(gzip.compress(raw.getvalue(), 1)) | {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}
diff = "sha256:" + hashlib.sha256(raw.getvalue()).hexdigest()
config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]},
                         "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode())
config["mediaType"] = "application/vnd.oci.image.config.v1+json"
kind = "application/vnd.oci.image.manifest.v1+json"
manifest = put(json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}).encode())
manifest |= {"mediaType": kind, "annotations": {"org.opencontainers.image.ref.name": "x"}}
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(top + "/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(top + "/oci-layout", "w"))
PY
}
copy() { skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false "$@"; }
skopeo_layouts() {
  command -v skopeo >/dev/null || skip "there is no skopeo"
  make_layout "$work/layout"
  copy "oci:$work/layout:x" "docker://$R/sk/a:1"
  copy "docker://$R/sk/a:1" "docker://$R/sk/b:1"
  copy "docker://$R/sk/b:1" "oci:$work/layout2:x"
  diff -r "$work/layout/blobs" "$work/layout2/blobs"
  is '["1"]' "$(skopeo list-tags --tls-verify=false "docker://$R/sk/a" | jq -c .Tags)"
  skopeo --insecure-policy delete --tls-verify=false "docker://$R/sk/b:1"
  is 404 "$(status "http://$R/v2/sk/b/manifests/1")"
}
skopeo_archives() {
  command -v skopeo >/dev/null || skip "there is no skopeo"
  copy "docker://$R/sk/a:1" "docker-archive:$work/a.tar:x:1"
  copy --format v2s2 "docker-archive:$work/a.tar" "docker://$R/sk/c:1"
  is 200 "$(status "http://$R/v2/sk/c/manifests/1")"
  is application/vnd.docker.distribution.manifest.v2+json "$(header content-type)"
  make_layout "$work/layout-z" # of a layer that is not in the registry as gzip
  copy "oci:$work/layout-z:x" "docker-archive:$work/z.tar:x:1"
  copy --format oci --dest-compress-format zstd "docker-archive:$work/z.tar" "docker://$R/sk/z:1"
  contains "$(curl -s "http://$R/v2/sk/z/manifests/1")" tar+zstd
  copy "docker://$R/sk/z:1" "oci:$work/layout3:x"
}

# Their storage is below $work, plain directories: no mount survives and no other store of this machine is touched.
alone() { # podman | buildah, command, argument...
  env -u DOCKER_CONFIG "$1" --root "$work/containers/root" --runroot "$work/containers/run" --storage-driver vfs "${@:2}"
}
podman_pushes_and_pulls() {
  command -v podman >/dev/null || skip "there is no podman"
  local image digest format
  head -c 3000000 /dev/urandom >"$work/random"
  image=$(tar -C "$work" -c random | alone podman import -q - localhost/made:1)
  digest=$(alone podman image inspect -f '{{index .RootFS.Layers 0}}' "$image")
  for format in oci v2s2; do
    alone podman push -q --tls-verify=false --format "$format" "$image" "$R/pm/$format:1"
    is 200 "$(status "http://$R/v2/pm/$format/manifests/1")"
    alone podman rmi -af >/dev/null
    image=$(alone podman pull -q --tls-verify=false "$R/pm/$format:1")
    is "$digest" "$(alone podman image inspect -f '{{index .RootFS.Layers 0}}' "$image")"
  done
  alone podman search --tls-verify=false --list-tags "$R/pm/oci" | grep -w 1
  alone podman manifest create both >/dev/null
  alone podman manifest add --tls-verify=false both "docker://$R/pm/oci:1" >/dev/null
  alone podman manifest push --tls-verify=false --all both "docker://$R/pm/both:1"
  alone podman pull -q --tls-verify=false "$R/pm/both:1" >/dev/null
  alone podman rmi -af >/dev/null
}

buildah_pushes_and_pulls() {
  command -v buildah >/dev/null || skip "there is no buildah"
  local container
  head -c 2000000 /dev/urandom >"$work/bytes"
  container=$(alone buildah from scratch)
  alone buildah copy -q "$container" "$work/bytes" /bytes >/dev/null
  alone buildah config --label kind=built "$container"
  alone buildah commit -q --rm "$container" "$R/bh/made:1" >/dev/null
  alone buildah push -q --tls-verify=false "$R/bh/made:1"
  alone buildah rmi -af >/dev/null
  container=$(alone buildah from --tls-verify=false "$R/bh/made:1")
  is built "$(alone buildah inspect --type image -f '{{index .OCIv1.Config.Labels "kind"}}' "$R/bh/made:1")"
  alone buildah copy -q --from "$R/bh/made:1" "$container" /bytes /again >/dev/null
  alone buildah commit -q --rm --tls-verify=false "$container" "docker://$R/bh/made:2" >/dev/null
  is 200 "$(status "http://$R/v2/bh/made/manifests/2")"
  alone buildah rmi -af >/dev/null
}

# A dockerd that has namespaces of its own, so that it finds no network of the host to change, and ends with its
# first process. The registry it reaches by a socket in a file.
dockerd_start() {
  local home=$work/docker attempt
  mkdir -p "$home/bin"
  ln -s "$(command -v berth-runtime)" "$home/bin/runc" # has to be there; nothing is run
  setsid socat UNIX-LISTEN:"$home/registry.sock",fork TCP:"$R" 2>"$home/socat.log" </dev/null &
  echo $! >"$home/socat.pid"
  PATH=$home/bin:$PATH setsid unshare -m -n -p --fork --kill-child --mount-proc bash -c "
    ip link set lo up
    socat TCP-LISTEN:${R#*:},bind=127.0.0.1,fork,reuseaddr UNIX-CONNECT:$home/registry.sock &
    exec dockerd --data-root $home/data --exec-root $home/run -H unix://$home/docker.sock --pidfile $home/docker.pid \
      --bridge none --iptables=false --ip-forward=false --storage-driver vfs" >"$home/log" 2>&1 </dev/null &
  echo $! >"$home/registry.pid"
  for ((attempt = 0; attempt < 300; attempt++)); do
    ! dockerd_does version >/dev/null 2>&1 || return 0
    sleep 0.1
  done
  tail -n 5 "$home/log"
  return 1
}
dockerd_does() { DOCKER_HOST=unix://$work/docker/docker.sock docker "$@"; }
docker_pushes_and_pulls() {
  command -v dockerd >/dev/null && command -v containerd >/dev/null || skip "there is no dockerd"
  local image other
  dockerd_start
  image=$(tar -C "$BERTH_BIN" -c berth-registry | dockerd_does import -c 'LABEL kind=imported' -c 'CMD ["/x"]' - "$R/dk/made:1")
  dockerd_does push -q "$R/dk/made:1"
  is 200 "$(status -H "Accept: application/vnd.docker.distribution.manifest.v2+json" "http://$R/v2/dk/made/manifests/1")"
  other=$(jq -r .config.digest "$work/body")
  is "$image" "$other" "the configuration's digest"
  dockerd_does tag "$R/dk/made:1" "$R/dk/mounted:1"
  contains "$(dockerd_does push "$R/dk/mounted:1")" "Mounted from dk/made"
  dockerd_does rmi "$R/dk/made:1" "$R/dk/mounted:1" >/dev/null
  is "" "$(dockerd_does images -q)"
  dockerd_does pull -q "$R/dk/made@$(header docker-content-digest)" >/dev/null
  dockerd_does pull -q "$R/dk/mounted:1" >/dev/null
  is "$image" "$(dockerd_does inspect -f '{{.Id}}' "$R/dk/mounted:1")" "the image"
  dockerd_does save "$R/dk/mounted:1" | tar -xO --wildcards '*/layer.tar' | tar -xO berth-registry | cmp - "$BERTH_BIN/berth-registry"
  # What skopeo had put there as an OCI layout.
  make_layout "$work/layout-d"
  copy "oci:$work/layout-d:x" "docker://$R/dk/oci:1"
  dockerd_does pull -q "$R/dk/oci:1" >/dev/null
  dockerd_end
}
dockerd_end() { # unshare hears nothing but this; what runs in its namespace goes along
  kill -9 "$(cat "$work/docker/socat.pid")" "$(cat "$work/docker/registry.pid")" 2>/dev/null || true
  eventually 20 gone "$(cat "$work/docker/registry.pid")"
}

# --- access ---

passwords() {
  command -v htpasswd >/dev/null || skip "there is no htpasswd"
  mkdir -p "$work/auth"
  htpasswd -Bbn -C 5 alice secret >"$work/auth/passwords"
  config auth 'http: {addr: "127.0.0.1:0"}' "auth: {htpasswd: {realm: r, path: $work/auth/passwords}}"
  registry_start auth
  local A
  A=$(at auth)
  is 401 "$(status "http://$A/v2/")"
  error_is UNAUTHORIZED
  contains "$(header www-authenticate)" 'Basic realm="r"'
  is 200 "$(status -u alice:secret "http://$A/v2/")"
  is 401 "$(status -u alice:wrong "http://$A/v2/")"
  is 401 "$(status -u bob:secret "http://$A/v2/")"
  is 401 "$(status -X POST "http://$A/v2/a/blobs/uploads/")"
  is 401 "$(status "http://$A/")" "the page"
  htpasswd -Bbn -C 5 bob hidden >"$work/auth/passwords"
  eventually 5 sees_change "$A"
  is 401 "$(status -u alice:secret "http://$A/v2/")" "a user who was removed"
  registry_end auth
}
sees_change() { [ "$(status -u bob:hidden "http://$1/v2/")" = 200 ]; }
encrypted() {
  mkdir -p "$work/tls"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/tls/key.pem" -out "$work/tls/cert.pem" 2>/dev/null
  config tls "http: {addr: \"127.0.0.1:0\", tls: {certificate: $work/tls/cert.pem, key: $work/tls/key.pem, minimumtls: tls1.3}}"
  registry_start tls
  local T
  T=$(at tls)
  head -c 2000000 /dev/urandom >"$work/random"
  is 200 "$(status --cacert "$work/tls/cert.pem" "https://$T/v2/")"
  is 201 "$(status --cacert "$work/tls/cert.pem" -X POST --data-binary "@$work/random" \
    "https://$T/v2/a/blobs/uploads/?digest=$(digest_of <"$work/random")")"
  curl -s --cacert "$work/tls/cert.pem" "https://$T/v2/a/blobs/$(digest_of <"$work/random")" | cmp - "$work/random"
  is 000 "$(status --cacert "$work/tls/cert.pem" --tls-max 1.2 "https://$T/v2/" || true)" "TLS 1.2"
  is 000 "$(status "http://$T/v2/" || true)" "plain HTTP"
  registry_end tls
}
tokens() {
  mkdir -p "$work/token"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=auth -keyout "$work/token/key.pem" \
    -out "$work/token/cert.pem" 2>/dev/null
  config token 'http: {addr: "127.0.0.1:0"}' \
    "auth: {token: {realm: \"https://auth.example/token\", service: reg, issuer: me, rootcertbundle: $work/token/cert.pem}}"
  registry_start token
  local T
  T=$(at token)
  base64url() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
  token() { # claims [algorithm]
    local text
    text=$(printf '{"alg":"%s","typ":"JWT"}' "${2:-RS256}" | base64url).$(printf %s "$1" | base64url)
    echo "$text.$(printf %s "$text" | openssl dgst -sha256 -sign "$work/token/key.pem" | base64url)"
  }
  claims() { # audience seconds actions
    printf '{"iss":"me","sub":"u","aud":"%s","exp":%d,"access":[{"type":"repository","name":"a","actions":[%s]}]}' "$1" $(($(date +%s) + $2)) "$3"
  }
  bearer() { status -H "Authorization: Bearer $1" "${@:2}"; }
  is 401 "$(status -X POST "http://$T/v2/a/blobs/uploads/")"
  contains "$(header www-authenticate)" 'Bearer realm="https://auth.example/token",service="reg",scope="repository:a:pull,push"'
  is 202 "$(bearer "$(token "$(claims reg 300 '"pull","push"')")" -X POST "http://$T/v2/a/blobs/uploads/")"
  is 401 "$(bearer "$(token "$(claims reg 300 '"pull"')")" -X POST "http://$T/v2/a/blobs/uploads/")"
  contains "$(header www-authenticate)" insufficient_scope
  is 401 "$(bearer "$(token "$(claims reg 300 '"pull","push"')")" -X POST "http://$T/v2/b/blobs/uploads/")"
  is 401 "$(bearer "$(token "$(claims other 300 '"pull"')")" "http://$T/v2/")"
  is 401 "$(bearer "$(token "$(claims reg -300 '"pull"')")" "http://$T/v2/")"
  is 401 "$(bearer "$(token "$(claims reg 300 '"pull"')" none)" "http://$T/v2/")"
  is 401 "$(bearer "$(token "$(claims reg 300 '"pull"')" HS256)" "http://$T/v2/")"
  is 401 "$(bearer "$(token "$(claims reg 300 '"pull"')")x" "http://$T/v2/")"
  is 200 "$(bearer "$(token "$(claims reg 300 '"pull"')")" "http://$T/v2/")"
  registry_end token
}

# --- configuration ---

configurations() {
  config strange 'http: {addr: "127.0.0.1:0", debug: {addr: ":1"}, colour: red}' 'health: {}'
  registry_start strange
  contains "$(cat "$work/strange/log.now")" 'http.colour is not a key'
  contains "$(cat "$work/strange/log.now")" 'http.debug has no effect'
  registry_end strange
  config strange 'http: {addr: [1, 2]}'
  refused 1 'config.yml: http.addr must be' berth-registry serve "$work/strange/config.yml"
  echo 'version: [' >"$work/strange/config.yml"
  refused 1 'config.yml:[0-9]+: ' berth-registry serve "$work/strange/config.yml"
  refused 1 'No such file' berth-registry serve "$work/strange/none.yml"
  config strange
  REGISTRY_HTTP_ADDR=127.0.0.1:99999 refused 1 'http.addr' berth-registry serve "$work/strange/config.yml"
  REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$work/elsewhere registry_start strange
  [ -f "$work/elsewhere/meta.db" ]
  registry_end strange
  sed -i 's/enabled: true/enabled: false/' "$work/strange/config.yml"
  registry_start strange
  is 405 "$(status -X DELETE "http://$(at strange)/v2/a/manifests/1")"
  error_is UNSUPPORTED
  registry_end strange
}
notified() {
  config events 'http: {addr: "127.0.0.1:0"}' 'notifications: {endpoints: [{name: t, url: "http://127.0.0.1:PORT/hook", headers: {X-Key: [k]}, backoff: 100ms}]}'
  python3 - "$work/events" <<'PY' &
import http.server, sys
class Hook(http.server.BaseHTTPRequestHandler):
    first = True
    def log_message(self, *arguments): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = 500 if Hook.first else 200
        Hook.first = False
        if code == 200: open(sys.argv[1] + "/got", "ab").write(self.headers["X-Key"].encode() + b" " + body + b"\n")
        self.send_response(code); self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
open(sys.argv[1] + "/hook.new", "w").write(str(server.server_port))
import os; os.rename(sys.argv[1] + "/hook.new", sys.argv[1] + "/hook")
server.serve_forever()
PY
  local hook=$!
  # shellcheck disable=SC2064 # now: the variable is gone by then
  trap "kill $hook" EXIT
  eventually 5 test -s "$work/events/hook"
  sed -i "s/PORT/$(cat "$work/events/hook")/" "$work/events/config.yml"
  registry_start events
  push_image "$(at events)" e/a 1 '{"e":1}' elayer
  eventually 10 grep -q '"tag":"1"' "$work/events/got"
  is 3 "$(wc -l <"$work/events/got")" "events, the first of which was refused once"
  is "push e/a" "$(sed 's/^k //' "$work/events/got" | tail -n 1 | jq -r '.events[0] | .action + " " + .target.repository')"
  registry_end events
}
cached() { # a pull-through cache in front of the main registry
  config proxy 'http: {addr: "127.0.0.1:0"}' "proxy: {remoteurl: \"http://$R\"}"
  registry_start proxy
  local P
  P=$(at proxy)
  is 200 "$(status "http://$P/v2/t/bb/manifests/1")"
  is "$(curl -s "http://$R/v2/t/bb/manifests/1")" "$(curl -s "http://$P/v2/t/bb/manifests/1")"
  is layer "$(curl -s "http://$P/v2/t/bb/blobs/$(printf layer | digest_of)")"
  is 404 "$(status "http://$P/v2/t/bb/manifests/none")"
  is 404 "$(status "http://$P/v2/t/bb/blobs/$zeros")"
  is 405 "$(status -X POST "http://$P/v2/t/bb/blobs/uploads/")"
  is "$(curl -s "http://$R/v2/t/bb/tags/list")" "$(curl -s "http://$P/v2/t/bb/tags/list")" "tags, most of which were not pulled"
  is 404 "$(status "http://$P/v2/t/none/tags/list")"
  sed -i "s|http://$R|http://127.0.0.1:1|" "$work/proxy/config.yml"
  registry_end proxy
  registry_start proxy
  P=$(at proxy)
  is 200 "$(status "http://$P/v2/t/bb/manifests/1")" "what was pulled, with the upstream away"
  is layer "$(curl -s "http://$P/v2/t/bb/blobs/$(printf layer | digest_of)")"
  is '["1"]' "$(curl -s "http://$P/v2/t/bb/tags/list" | jq -c .tags)" "tags, with the upstream away"
  registry_end proxy
}

# An upstream of one blob of 200,000 bytes a repository, of which it sends half, and the rest once $work/upstream/REPOSITORY
# is there. Repositories "wrong-*" have another last byte, "short-*" are cut, of "silent-*" no size is told.
upstream_start() { # its address is in $work/upstream/address, what was asked in $work/upstream/asked
  mkdir -p "$work/upstream"
  python3 - "$work/upstream" <<'PY' &
import hashlib, http.server, os, random, sys, time
top = sys.argv[1]
class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *arguments): pass
    def send(self, body, headers=()):
        self.send_response(200)
        for name, value in headers: self.send_header(name, value)
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        with open(top + "/asked", "a") as file: file.write(self.path + "\n")
        name = self.path.split("/")[2]
        if "/tags/list" in self.path:
            if "last=" in self.path: return self.send(b'{"tags":["b"]}')
            where = "http://127.0.0.1:1" if name == "elsewhere" else ""
            return self.send(b'{"tags":["c","a"]}', [("Link", '<%s/v2/%s/tags/list?last=c>; rel="next"' % (where, name))])
        data = bytearray(random.Random(name).randbytes(200000))
        if not self.path.endswith(hashlib.sha256(data).hexdigest()):
            self.send_response(404); self.send_header("Content-Length", "0"); return self.end_headers()
        if name.startswith("wrong"): data[-1] ^= 1
        self.send_response(200)
        if name.startswith("silent"): self.send_header("Connection", "close")
        else: self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:100000]); self.wfile.flush()
        while not os.path.exists(top + "/" + name): time.sleep(0.02)
        if name.startswith("short"): data, self.close_connection = data[:150000], True
        self.wfile.write(data[100000:])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
open(top + "/address.new", "w").write("127.0.0.1:%d" % server.server_port)
os.rename(top + "/address.new", top + "/address")
server.serve_forever()
PY
  echo $! >"$work/upstream/registry.pid"
  disown $!
  touch "$work/upstream/log.now"
  eventually 5 test -s "$work/upstream/address"
}
blob_of() { python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(200000))' "$1"; }
# In the background: what it gets is in $work/got.NAME, how it ends in $work/ended.NAME.
get_slowly() { # name repository [curl's argument...]
  local url
  url=http://$(at slow)/v2/$2/blobs/$(blob_of "$2" | digest_of)
  rm -f "$work/got.$1" "$work/ended.$1"
  (
    set +e
    curl -sN -o "$work/got.$1" "${@:3}" "$url" &
    echo $! >"$work/pid.$1"
    wait $!
    echo $? >"$work/ended.$1"
  ) &
}
has_got() { [ "$(stat -c %s "$work/got.$1" 2>/dev/null || echo 0)" -ge "$2" ]; } # name bytes
has_ended() { [ -s "$work/ended.$1" ]; }
ended_with() { eventually 20 has_ended "$1" && is "$2" "$(cat "$work/ended.$1")" "how $1 ended"; } # name status
asked_times() { grep -c "/v2/$1/blobs/" "$work/upstream/asked"; }
is_stored() { [ -f "$work/slow/data/blobs/sha256/$(blob_of "$1" | sha256sum | cut -d' ' -f1)" ]; }
cache_start() {
  upstream_start
  config slow 'http: {addr: "127.0.0.1:0", draintimeout: 1s}' "proxy: {remoteurl: \"http://$(at upstream)\"}"
  registry_start slow
}
read_while_it_comes() { # whatever patience a client has: half of it is there before the upstream has the rest
  local name
  get_slowly first both
  eventually 10 has_got first 90000
  get_slowly second both
  get_slowly part both -r 50000-199999
  eventually 10 has_got second 90000
  eventually 10 has_got part 40000
  is 200 "$(status -I "http://$(at slow)/v2/both/blobs/$(blob_of both | digest_of)")" "asked with HEAD"
  is 200000 "$(header content-length)"
  ! has_ended first || return 1
  touch "$work/upstream/both"
  for name in first second part; do ended_with $name 0; done
  blob_of both | cmp - "$work/got.first"
  blob_of both | cmp - "$work/got.second"
  blob_of both | tail -c 150000 | cmp - "$work/got.part"
  is 1 "$(asked_times both)" "times that the upstream was asked"
  curl -s "http://$(at slow)/v2/both/blobs/$(blob_of both | digest_of)" | cmp - "$work/got.first"
  is 1 "$(asked_times both)" "times that the upstream was asked, once the blob is here"
}
size_unknown() {
  touch "$work/upstream/silent-1"
  get_slowly silent silent-1
  ended_with silent 0
  blob_of silent-1 | cmp - "$work/got.silent"
}
wrong_is_cut_off() { # a client that reads along must not take wrong bytes for the blob
  local name
  for name in wrong-1 short-1; do
    get_slowly wrong $name
    eventually 10 has_got wrong 90000
    touch "$work/upstream/$name"
    ended_with wrong 18
    ! is_stored $name || return 1
    is "" "$(find "$work/slow/data/blobs/ingest" -type f)" "partial blobs"
  done
  contains "$(cat "$work/slow/log.now")" 'has the digest'
}
fetched_without_clients() {
  get_slowly leaver leaver
  eventually 10 has_got leaver 90000
  kill "$(cat "$work/pid.leaver")"
  ended_with leaver 143
  touch "$work/upstream/leaver"
  eventually 20 is_stored leaver
  is 1 "$(asked_times leaver)"
}
upstream_tags() {
  is '["a","b","c"]' "$(curl -s "http://$(at slow)/v2/some/tags/list" | jq -c .tags)"
  is 200 "$(status "http://$(at slow)/v2/some/tags/list?n=1&last=a")"
  is '["b"]' "$(jq -c .tags "$work/body")"
  contains "$(header link)" 'last=b&n=1'
  is 404 "$(status "http://$(at slow)/v2/elsewhere/tags/list")" "a list that goes on at another server"
  contains "$(cat "$work/slow/log.now")" 'another server: not followed'
}
ends_while_fetching() {
  get_slowly never never
  eventually 10 has_got never 90000
  registry_end slow
  ended_with never 18
  registry_end upstream KILL
}

# --- what must hold under failure ---

# Pushes images as fast as it can, noting what was acknowledged, until the registry is gone.
push_until_killed() { # address round log
  python3 - "$@" <<'PY'
import hashlib, http.client, json, sys, threading
address, number, log = sys.argv[1:]
kind = "application/vnd.oci.image.manifest.v1+json"
def digest(data): return "sha256:" + hashlib.sha256(data).hexdigest()
def worker(name):
    connection = http.client.HTTPConnection(address, timeout=20)
    def ask(method, path, body=b"", headers={}):
        connection.request(method, path, body, headers)
        answer = connection.getresponse(); answer.read()
        return answer
    try:
        for i in range(100000):
            repository = f"kill/r{number}w{name}"
            layer = f"{number}.{name}.{i}".encode() * 3000
            config = json.dumps({"i": i, "n": number}).encode()
            if i % 2:
                assert ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest(layer)}", layer).status == 201
            else:
                where = ask("POST", f"/v2/{repository}/blobs/uploads/").getheader("Location")
                half = len(layer) // 2
                assert ask("PATCH", where, layer[:half], {"Content-Range": f"0-{half - 1}"}).status == 202
                assert ask("PUT", where + "?digest=" + digest(layer), layer[half:]).status == 201
            with lock: log_file.write(f"blob {repository} {digest(layer)}\n"); log_file.flush()
            assert ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest(config)}", config).status == 201
            manifest = json.dumps({"schemaVersion": 2, "mediaType": kind,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer), "size": len(layer)}]}).encode()
            assert ask("PUT", f"/v2/{repository}/manifests/t{i}", manifest, {"Content-Type": kind}).status == 201
            with lock: log_file.write(f"tag {repository} t{i} {digest(manifest)}\n"); log_file.flush()
    except (OSError, http.client.HTTPException): pass
lock, log_file = threading.Lock(), open(log, "a")
threads = [threading.Thread(target=worker, args=(name,)) for name in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
PY
}
# Everything that was acknowledged is there, and its bytes are right.
all_there() { # address log
  python3 - "$@" <<'PY'
import hashlib, http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
count = 0
for line in open(sys.argv[2]):
    what, repository, name, *rest = line.split()
    connection.request("GET", f"/v2/{repository}/" + ("blobs/" if what == "blob" else "manifests/") + name)
    answer = connection.getresponse(); body = answer.read()
    assert answer.status == 200, (line, answer.status, body[:200])
    assert "sha256:" + hashlib.sha256(body).hexdigest() == (rest or [name])[0], line
    count += 1
print(count, "acknowledged things are there")
PY
}
acknowledges_round() { grep -q " kill/r$1w" "$work/acknowledged"; }
killed() {
  config kill
  : >"$work/acknowledged"
  local round pusher
  for round in {1..20}; do
    registry_start kill
    push_until_killed "$(at kill)" "$round" "$work/acknowledged" &
    pusher=$!
    eventually 20 acknowledges_round "$round"
    sleep "0.$((RANDOM % 8))$((RANDOM % 10))"
    registry_end kill KILL
    wait $pusher
  done
  registry_start kill
  [ "$(wc -l <"$work/acknowledged")" -gt 100 ] || { echo "too little was pushed"; return 1; }
  all_there "$(at kill)" "$work/acknowledged"
  if grep -E 'damaged|makes no sense|made again|ERROR' "$work/kill/log"; then return 1; fi
}
database_lost() {
  local before
  before=$(curl -s "http://$(at kill)/v2/_catalog" | digest_of)
  registry_end kill
  rm -f "$work"/kill/data/meta.db*
  registry_start kill
  contains "$(cat "$work/kill/log.now")" "made again"
  is "$before" "$(curl -s "http://$(at kill)/v2/_catalog" | digest_of)" "the catalogue"
  all_there "$(at kill)" "$work/acknowledged"
  registry_end kill
  head -c 20000 /dev/urandom >"$work/kill/data/meta.db"
  registry_start kill
  all_there "$(at kill)" "$work/acknowledged"
}
journal_lost() {
  registry_end kill
  rm "$work/kill/data/journal"
  registry_start kill
  all_there "$(at kill)" "$work/acknowledged"
  registry_end kill
  rm -f "$work"/kill/data/meta.db*
  registry_start kill
  all_there "$(at kill)" "$work/acknowledged"
}
both_lost() { # what the blobs are is known still; what they were called is not
  registry_end kill
  rm -f "$work"/kill/data/meta.db* "$work/kill/data/journal"
  registry_start kill
  is '["lost-and-found"]' "$(curl -s "http://$(at kill)/v2/_catalog" | jq -c .repositories)"
  sed -E 's/ kill\/[^ ]*/ lost-and-found/; s/^tag (.*) t[0-9]+ (.*)/tag \1 \2 \2/' "$work/acknowledged" >"$work/nameless"
  all_there "$(at kill)" "$work/nameless"
  registry_end kill
}
resumed() { # an upload goes on after a kill -9
  local url digest
  is 202 "$(status -X POST "http://$(at gc)/v2/res/a/blobs/uploads/")"
  url=$(header location)
  is 202 "$(status -X PATCH -d hello "http://$(at gc)$url")"
  registry_end gc KILL
  registry_start gc
  is 204 "$(status "http://$(at gc)$url")"
  is 0-4 "$(header range)"
  digest=$(printf helloworld | digest_of)
  is 201 "$(status -X PUT -d world "http://$(at gc)$url?digest=$digest")"
  is helloworld "$(curl -s "http://$(at gc)/v2/res/a/blobs/$digest")"
}
blob_files() { find "$work/$1/data/blobs/sha256" -type f | wc -l; }
collect() { berth-registry garbage-collect "$work/gc/config.yml" "$@" 2>&1; }
garbage() {
  local G digest before
  G=$(at gc)
  push_image "$G" g/a keep '{"g":1}' shared
  push_image "$G" g/a drop '{"g":2}' only-dropped
  push_image "$G" g/b keep '{"g":1}' shared
  push_blob "$G" g/a on-its-way
  digest=$(manifest_of '{"g":2}' only-dropped | digest_of)
  is 202 "$(status -X DELETE "http://$G/v2/g/a/manifests/$digest")"
  before=$(blob_files gc)
  contains "$(collect --dry-run)" 'would remove 3 blobs'
  is "$before" "$(blob_files gc)" "files after a dry run"
  contains "$(collect)" 'removed 3 blobs'
  is $((before - 3)) "$(blob_files gc)" "files"
  is 404 "$(status "http://$G/v2/g/a/blobs/$(printf only-dropped | digest_of)")"
  is on-its-way "$(curl -s "http://$G/v2/g/a/blobs/$(printf on-its-way | digest_of)")"
  is shared "$(curl -s "http://$G/v2/g/b/blobs/$(printf shared | digest_of)")"
  contains "$(collect --grace 0s)" 'removed 2 blobs' # that one, and the resumed upload's
  is 202 "$(status -X DELETE "http://$G/v2/g/b/manifests/keep")"
  contains "$(collect)" 'removed 0 blobs'
  contains "$(collect --delete-untagged)" '1 manifests'
  is shared "$(curl -s "http://$G/v2/g/a/blobs/$(printf shared | digest_of)")"
}
garbage_while_serving() { # pushes and collections at once: nothing that was acknowledged is missing
  : >"$work/collected"
  push_until_killed "$(at gc)" 99 "$work/collected" &
  local pusher=$! i
  eventually 20 grep -q ^tag "$work/collected"
  for i in {1..12}; do collect -q >/dev/null; sleep 0.1; done
  registry_end gc KILL
  wait $pusher
  contains "$(collect -m)" removed # with no registry running
  registry_start gc
  grep ^tag "$work/collected" >"$work/tagged"
  [ "$(wc -l <"$work/tagged")" -gt 10 ] || { echo "too little was pushed"; return 1; }
  all_there "$(at gc)" "$work/tagged"
}
# Pushes images and deletes some of them again, by tag and by digest, until the registry is gone. What is begun and
# what is acknowledged is noted; layers are shared by three images each.
delete_until_killed() { # address round log
  python3 - "$@" <<'PY'
import hashlib, http.client, json, random, sys, threading
address, number, log = sys.argv[1:]
kind = "application/vnd.oci.image.manifest.v1+json"
def digest(data): return "sha256:" + hashlib.sha256(data).hexdigest()
def worker(name):
    connection = http.client.HTTPConnection(address, timeout=20)
    def ask(method, path, body=b"", headers={}):
        connection.request(method, path, body, headers)
        answer = connection.getresponse(); answer.read()
        return answer.status
    def note(*words):
        with lock: log_file.write(" ".join(words) + "\n"); log_file.flush()
    repository = f"del/r{number}w{name}"
    try:
        for i in range(100000):
            layer, config = f"{number}.{name}.{i // 3}".encode() * 300, json.dumps({"i": i, "n": number, "w": name}).encode()
            for blob in layer, config:
                assert ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest(blob)}", blob) == 201
            manifest = json.dumps({"schemaVersion": 2, "mediaType": kind,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer), "size": len(layer)}]}).encode()
            note("putting", repository, f"t{i}", digest(manifest), digest(config), digest(layer))
            status = ask("PUT", f"/v2/{repository}/manifests/t{i}", manifest, {"Content-Type": kind})
            assert status == 201, f"PUT of an image whose blobs were just acknowledged: {status}"
            note("put", repository, f"t{i}")
            if random.random() < 0.3: continue
            note("deleting", repository, f"t{i}")
            status = ask("DELETE", f"/v2/{repository}/manifests/" + (f"t{i}" if random.random() < 0.5 else digest(manifest)))
            assert status == 202, f"DELETE: {status}"
            note("deleted", repository, f"t{i}")
    except (OSError, http.client.HTTPException): pass
    except AssertionError as failure: print(failure, file=sys.stderr); failed.append(failure)
lock, log_file, failed = threading.Lock(), open(log, "a"), []
threads = [threading.Thread(target=worker, args=(name,)) for name in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(1 if failed else 0)
PY
}
# What was put is there and whole, unless its deletion had begun; what was deleted is not. With a directory, after a
# collection: its blobs are those that are needed, and no others.
kept_and_gone() { # address log [directory of blobs]
  python3 - "$@" <<'PY'
import hashlib, http.client, os, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
def get(path):
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()
state, parts = {}, {}
for line in open(sys.argv[2]):
    what, repository, tag, *digests = line.split()
    state[repository, tag] = what
    if digests: parts[repository, tag] = digests
kept, gone, needed = 0, 0, set()
for (repository, tag), what in state.items():
    manifest, config, layer = parts[repository, tag]
    status, body = get(f"/v2/{repository}/manifests/{tag}")
    wanted = {"put": [200], "deleted": [404]}.get(what, [200, 404])
    assert status in wanted, (repository, tag, what, status)
    if status == 404: gone += 1; continue
    kept += 1
    needed |= {manifest, config, layer}
    assert "sha256:" + hashlib.sha256(body).hexdigest() == manifest, (repository, tag)
    for blob in config, layer:
        status, body = get(f"/v2/{repository}/blobs/{blob}")
        assert status == 200 and "sha256:" + hashlib.sha256(body).hexdigest() == blob, (repository, tag, blob, status)
print(kept, "images are there,", gone, "are gone")
if len(sys.argv) > 3:
    there = {"sha256:" + name for name in os.listdir(sys.argv[3])}
    assert there == needed, (len(there - needed), "blobs too many", len(needed - there), "too few")
    assert kept >= 3 and gone >= 3, "too little was done"
PY
}
deletes_round() { [ "$(grep -c "^deleted del/r$1w" "$work/deletions")" -ge 3 ]; }
collect_until_killed() {
  while [ ! -e "$work/del/over" ]; do
    berth-registry garbage-collect "$work/del/config.yml" -q >/dev/null 2>&1 || return 0
  done
}
killed_in_deletions() {
  config del
  : >"$work/deletions"
  local round client collector
  for round in $(seq "$rounds"); do
    rm -f "$work/del/over"
    registry_start del
    kept_and_gone "$(at del)" "$work/deletions" >/dev/null
    delete_until_killed "$(at del)" "$round" "$work/deletions" &
    client=$!
    collect_until_killed &
    collector=$!
    eventually 30 deletes_round "$round"
    sleep "0.$((RANDOM % 8))$((RANDOM % 10))"
    touch "$work/del/over"
    registry_end del KILL
    wait $client
    wait $collector
  done
  registry_start del
  kept_and_gone "$(at del)" "$work/deletions"
  berth-registry garbage-collect "$work/del/config.yml" --grace 0s --delete-untagged
  kept_and_gone "$(at del)" "$work/deletions" "$work/del/data/blobs/sha256"
  registry_end del
  if grep -E 'damaged|makes no sense|made again|ERROR|not in the storage' "$work/del/log"; then return 1; fi
}
one_owner() {
  refused 1 'in use by another process' berth-registry serve "$work/gc/config.yml"
}
drains() { # SIGTERM lets a running request finish
  local pid
  pid=$(cat "$work/gc/registry.pid")
  (printf 'POST /v2/d/a/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc' "$(printf abcdef | digest_of)"
    sleep 1; printf def; sleep 2) | socat - "TCP:$(at gc)" >"$work/drained" &
  local client=$!
  sleep 0.5
  kill -TERM "$pid"
  wait $client
  contains "$(head -n 1 "$work/drained")" "201"
  eventually 10 gone "$pid"
  contains "$(cat "$work/gc/log.now")" "stopping on signal 15"
}
large_blob() { # memory stays flat
  local digest before
  head -c 300000000 /dev/zero >"$work/large"
  digest=$(digest_of <"$work/large")
  is 201 "$(status -X POST -T "$work/large" "http://$R/v2/big/a/blobs/uploads?digest=$digest")"
  curl -s "http://$R/v2/big/a/blobs/$digest" | cmp - "$work/large"
  at_most $((40000 * slowness)) "$(awk '/VmHWM/ { print $2 }' "/proc/$(cat "$work/main/registry.pid")/status")" "kB at most"
}

config main
registry_start main || { echo "FAIL: the registry does not start"; exit 1; }
R=$(at main)
case_of "ping and health" ping
case_of "uploads in chunks, with wrong starts refused" chunked_upload
case_of "uploads are cancelled, and belong to their repository" cancelled_upload
case_of "a wrong digest leaves nothing" wrong_digest
case_of "ranges of blobs" ranges
case_of "blobs are mounted from another repository" mounts
case_of "manifests are kept byte by byte and checked" manifests
case_of "indexes" indexes
case_of "tags and repositories in pages" paging
case_of "referrers" referrers
case_of "deletion of tags, manifests and blobs" deletion
case_of "hostile paths" hostile_paths
case_of "one client cannot begin uploads without end" many_uploads
case_of "pages and metrics" pages
case_of "pages in a browser" browsed
case_of "skopeo pushes and pulls OCI layouts" skopeo_layouts
case_of "skopeo pushes and pulls Docker's archives and zstd" skopeo_archives
case_of "docker's daemon pushes, mounts and pulls" docker_pushes_and_pulls
case_of "podman pushes and pulls, both formats and indexes" podman_pushes_and_pulls
case_of "buildah pushes and pulls" buildah_pushes_and_pulls
case_of "large blobs pass through in little memory" large_blob
case_of "passwords" passwords
case_of "TLS" encrypted
case_of "tokens" tokens
case_of "configuration files" configurations
case_of "notifications" notified
case_of "a pull-through cache" cached
case_of "a cache and a slow upstream begin" cache_start
case_of "a cache's blobs are read while they come, by all who ask" read_while_it_comes
case_of "a cache's blob whose size the upstream does not say" size_unknown
case_of "a cache cuts off what turns out wrong, and keeps none of it" wrong_is_cut_off
case_of "a cache goes on fetching when its client leaves" fetched_without_clients
case_of "a cache lists the upstream's tags" upstream_tags
case_of "a cache ends while it fetches" ends_while_fetching
case_of "kill -9 during pushes, 20 times" killed
case_of "the database is lost and made again" database_lost
case_of "the journal is lost and made again" journal_lost
case_of "both are lost" both_lost
config gc
registry_start gc
case_of "an upload goes on after kill -9" resumed
case_of "garbage collection" garbage
case_of "garbage collection during pushes" garbage_while_serving
case_of "kill -9 during deletions and garbage collection, $rounds times" killed_in_deletions
case_of "one process owns a directory" one_owner
case_of "SIGTERM drains" drains
case_of "the main registry ends cleanly" registry_end main
end_registries
finish
