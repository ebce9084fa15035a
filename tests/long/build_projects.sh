#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds of the size that people have, on Debian, with packages from where this machine has its own: a C project whose
# program ends in an image of its own, a node project of thousands of files that is asked over HTTP, a python project that is
# built again after one file changed. The base image is made here, by mmdebstrap, and kept in build/ for a week.
#
# Where packages cannot be reached, from this machine or from a step, the cases are skipped and counted as such.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/../lib.sh"
export LIMIT=400
projects=$PWD/tests/long/build_projects
context=$work/context

# --- Debian ----------------------------------------------------------------------------------------------------------

# How this machine gets its packages is how the steps do.
debian_tree() { # directory of files that are added to the base image
  mkdir -p "$1/etc/apt/apt.conf.d" "$1/etc/apt/sources.list.d" "$1/etc/ssl/certs" "$1/etc/apt/trusted.gpg.d"
  cp /etc/apt/sources.list "$1/etc/apt/" 2>/dev/null || true
  cp /etc/apt/sources.list.d/debian.sources "$1/etc/apt/sources.list.d/" 2>/dev/null || true
  apt-config dump | grep -E '^Acquire::(http|https|Check|Retries|[^:]*[Pp]roxy)' >"$1/etc/apt/apt.conf.d/90machine" || true
  echo 'Acquire::Languages "none";' >"$1/etc/apt/apt.conf.d/91quick"
  cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/" # what this machine trusts: its proxies may sign on their own
}

debian_bootstrap() { # file
  command -v mmdebstrap >/dev/null || skip "there is no mmdebstrap (scripts/setup test)"
  local release sources
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  sources=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null ||
    awk '/^deb / { print $2; exit }' /etc/apt/sources.list)
  mmdebstrap --quiet --variant=minbase --components=main --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$release" "$work/debian.tar" "deb $sources $release main" >"$work/mmdebstrap.log" 2>&1 ||
    skip "packages are not reachable from this machine: $(tail -n 1 "$work/mmdebstrap.log")"
  mv "$work/debian.tar" "$1"
}

debian_make() {
  local kept=$PWD/build/debian-minbase.tar
  [ -n "$(find "$kept" -mtime -7 2>/dev/null)" ] || debian_bootstrap "$kept"
  b import -c 'CMD ["bash"]' "$kept" bare >/dev/null
  debian_tree "$work/machine"
  printf 'FROM bare\nCOPY . /\n' | b build -q -t debian -f - "$work/machine" >/dev/null
  b rmi bare >/dev/null
  network_find
}

# Steps are reached by the bridge where this machine's network lets them out, otherwise they take the host's.
proxies=()
for name in http_proxy https_proxy no_proxy; do [ -z "${!name:-}" ] || proxies+=(--build-arg "$name=${!name}"); done
network_find() {
  local network
  for network in default host; do
    if printf 'FROM debian\nRUN apt-get update -o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o APT::Update::Error-Mode=any\n' |
      b build -q --network $network "${proxies[@]}" - >"$work/network.log" 2>&1; then
      echo $network >"$work/network"
      return 0
    fi
  done
  skip "packages are not reachable from a step: $(grep -aE '^(E|Err|W)' "$work/network.log" | tail -n 1)"
}

needs_packages() { [ -s "$work/network" ] || skip "packages are not reachable (see the first case)"; }

# --- builds ------------------------------------------------------------------------------------------------------------

project() { rm -rf "$context" && cp -r "$projects/$1" "$context"; }
build() { # name [option...]: what it said is in $said
  said=$(b build --progress plain --network "$(cat "$work/network")" "${proxies[@]}" -t "$@" "$context" 2>&1) ||
    { tail -n 15 <<<"$said"; return 1; }
}
layers_of() { b image inspect "$1" | jq -r '.[0].RootFS.Layers[]'; }
size_of() { b image inspect -f '{{.Size}}' "$1"; }

# --- a C project -------------------------------------------------------------------------------------------------------

c_sources() { # a program of a few hundred files
  local number
  mkdir -p "$context/src/parts"
  for number in $(seq 300); do
    printf '#include "../parts.h"\nunsigned part_%d(unsigned x) { return x * %du + %du; }\n' "$number" $((number * 2 + 1)) "$number" \
      >"$context/src/parts/part_$number.c"
  done
  { echo '#pragma once'; seq -f 'unsigned part_%g(unsigned x);' 300; echo '#define PARTS \'
    seq -f '  part_%g, \' 299; echo '  part_300'; } >"$context/src/parts.h"
}

c_project() {
  needs_packages
  project c
  c_sources
  build checker
  is "parts 300 sum $(c_sum)" "$(b run --rm --network none checker count)" "what the program says"
  is "$(printf 'some text, some text' | sha256sum | cut -c1-8)" "$(printf 'some text, some text' | b run -i --rm --network none checker pack |
    b run -i --rm --network none checker unpack | sha256sum | cut -c1-8)" "packed and unpacked"
  at_most 4000000 "$(size_of checker)" "bytes of the last image" # compiler and sources stay behind
  is 1 "$(layers_of checker | wc -l)" "layers of the last image"
  is "/checker" "$(b run --rm --network none --entrypoint /checker checker list)"
}
c_sum() { python3 -c '
x = 1
for n in range(1, 301): x = (x * (2 * n + 1) + n) % 2**32
print(x)'; }

c_project_again() { # nothing has changed; then one file, and the packages are not installed again
  needs_packages
  local before
  before=$(b image inspect -f '{{.Id}}' checker)
  build checker
  is "$before" "$(b image inspect -f '{{.Id}}' checker)" "the same image"
  sed -i 's/return x/return 1 + x/' "$context/src/parts/part_7.c"
  build checker
  lacks "$said" "Setting up gcc"
  fails is "parts 300 sum $(c_sum)" "$(b run --rm --network none checker count)"
}

# --- a node project ------------------------------------------------------------------------------------------------------

# Where packages come from and what is trusted: this machine's settings, as a secret.
npm_settings() {
  command -v npm >/dev/null || skip "there is no npm here whose registry could be asked"
  registry=$(npm config get registry)
  cat /etc/npmrc ~/.npmrc 2>/dev/null | grep -E '^(//|@)' >"$work/npmrc" || true
  printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' "$registry" >>"$work/npmrc"
  curl -fsS --max-time 20 -o /dev/null "${registry%/}/express" || skip "npm's registry is not reachable"
}

node_project() {
  needs_packages
  npm_settings
  project node
  mkdir -p "$context/node_modules/left-behind" && echo "exit" >"$context/node_modules/left-behind/index.js" # is ignored
  build shop --secret "id=npmrc,src=$work/npmrc" --build-arg "REGISTRY=${registry%/}"
  lacks "$(b history --no-trunc shop)$(b image inspect shop)" cafile
  local files
  files=$(b run --rm --network none shop sh -c 'find node_modules -type f | wc -l')
  [ "$files" -gt 5000 ] || { echo "there are $files files in node_modules"; false; }
  is 0 "$(b run --rm --network none shop sh -c 'ls node_modules | grep -c left-behind || true')"
  is 1000 "$(b run --rm --network none shop id -u)"
}

node_project_answers() {
  needs_packages
  b image inspect shop >/dev/null 2>&1 || skip "there is no image"
  local address
  b run -d --name shop -p 127.0.0.1::8080 shop >/dev/null
  address=$(b port shop 8080)
  eventually 30 fetched "http://$address/health" fine
  is '{"in":"a-b-c","days":366}' "$(fetch "http://$address/days?year=2024&name=A%20b%20C")"
  eventually 60 healthy shop
  b rm -f shop >/dev/null
}
healthy() { [ "$(b inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]; }

node_project_again() { # the server's file alone has changed
  needs_packages
  b image inspect shop >/dev/null 2>&1 || skip "there is no image"
  npm_settings
  local before
  before=$(layers_of shop)
  sed -i 's/fine/well/' "$context/server.js"
  build shop --secret "id=npmrc,src=$work/npmrc" --build-arg "REGISTRY=${registry%/}"
  is "$(head -n -1 <<<"$before")" "$(layers_of shop | head -n -1)" "the layers below"
  fails is "$before" "$(layers_of shop)"
}

# --- a python project ------------------------------------------------------------------------------------------------------

python_sources() { # a thousand modules in fifty packages, each with what tests it
  python3 - "$context" <<'PY'
import os, sys
root = sys.argv[1]
for package in range(50):
    place = f"{root}/app/package_{package}"
    os.makedirs(place)
    open(f"{place}/__init__.py", "w").close()
    for module in range(20):
        with open(f"{place}/module_{module}.py", "w") as out:
            out.write(f'"""Module {module} of package {package}."""\n\n\ndef value():\n    return {package * 20 + module}\n')
open(f"{root}/app/__init__.py", "w").close()
PY
}

python_project() {
  needs_packages
  project python
  python_sources
  build sums
  is "1000 modules, 499500" "$(b run --rm --network none sums)"
  # What --mount=type=cache held is not in the image.
  is "" "$(b run --rm --network none --entrypoint find sums /var/cache/apt /var/lib/apt/lists -type f -size +100k)"
}

python_project_again() { # one file of the thousand has changed: packages and what lies before COPY are taken from the cache
  needs_packages
  b image inspect sums >/dev/null 2>&1 || skip "there is no image"
  stamp=$(b run --rm --network none --entrypoint cat sums /stamp)
  before=$(layers_of sums)
  sed -i 's/return 27$/return 1027/' "$context/app/package_1/module_7.py"
  build sums
  is "1000 modules, 500500" "$(b run --rm --network none sums)"
  is "$stamp" "$(b run --rm --network none --entrypoint cat sums /stamp)" "the time at which packages were installed"
  lacks "$said" "Unpacking python3"
  is "$(head -n 3 <<<"$before")" "$(layers_of sums | head -n 3)" "the layers below"
}

python_packages_are_kept() { # in the mount, across builds: without a network they are installed again
  needs_packages
  b image inspect sums >/dev/null 2>&1 || skip "there is no image"
  said=$(b build --progress plain --network none --no-cache --target packages --build-arg APT_OPTIONS=--no-download -t again "$context" 2>&1) ||
    { tail -n 5 <<<"$said"; false; }
  contains "$said" "Setting up python3"
}

engine_start main || exit 1
case_of "a Debian base image, and a network for its packages" debian_make
case_of "a C project in stages: packages, compiled, run from an image of its own" c_project
case_of "the C project again, with one file changed" c_project_again
case_of "a node project with thousands of files" node_project
case_of "the node project answers" node_project_answers
case_of "the node project again, with one file changed" node_project_again
case_of "a python project of a thousand modules" python_project
case_of "the python project again, with one module changed" python_project_again
case_of "packages in a cache mount are there for the next build" python_packages_are_kept
remove_all
finish
