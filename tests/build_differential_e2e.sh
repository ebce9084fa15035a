#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds Dockerfiles twice, with berth and with buildah, and compares the images entry by entry: every file with its mode,
# owner, links, attributes and content, and what the configuration says. Where buildah does not know what Docker's format
# has, what has to come out is written into the case. The cases are in tests/build_differential/*.sh:
#
#   alike TITLE CONTEXT [OPTION...] <<DOCKERFILE             both builders make the same of it
#   gives TITLE CONTEXT MANIFEST [OPTION...] <<DOCKERFILE    ours makes what MANIFEST says (compare.py has its form)
#   refused_here TITLE CONTEXT REGEX [OPTION...] <<DOCKERFILE   ours does not build it, and says why
#   refused TITLE CONTEXT REGEX [OPTION...] <<DOCKERFILE     neither does
#
# CONTEXT is a script that fills the empty context. "ours:OPTION" and "theirs:OPTION" are given to one builder alone.
#
#   ONLY=REGEX KEEP=DIRECTORY tests/build_differential_e2e.sh    some cases; their images are kept in DIRECTORY
# shellcheck disable=SC2034,SC2154 # the cases use $www; lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
command -v buildah >/dev/null || { echo "SKIP: there is no buildah (scripts/setup test)"; exit 77; }
cases=$PWD/tests/build_differential
context=$work/context

# --- the builders --------------------------------------------------------------------------------------------------------

# The other one's storage is below $work, shared with nobody. chroot is the isolation that needs neither a runtime nor
# control groups. Docker's steps may make devices, and so may these.
buildah_here() { # command [argument...]
  env -u DOCKER_CONFIG timeout -k 5 300 buildah --root "$work/buildah/root" --runroot "$work/buildah/run" \
    --storage-driver overlay "$@"
}
build_theirs() { # option...
  buildah_here bud -q --format docker --isolation chroot --network host --pull=never --cap-add MKNOD \
    -t "docker-archive:$work/theirs.tar" "$@" "$context"
}
build_ours() { b build -q -t ours "$@" "$context"; }

end_theirs() {
  umount "$work/buildah/root/overlay" 2>/dev/null
  [ -z "${server:-}" ] || kill "$server" 2>/dev/null
}
trap 'end_theirs; clean_up' EXIT

# --- cases ---------------------------------------------------------------------------------------------------------------

# Sets `ours` and `theirs` to each one's options.
divide_options() { # option...
  local option
  ours=() theirs=()
  for option in "$@"; do
    [[ $option == theirs:* ]] || ours+=("${option#ours:}")
    [[ $option == ours:* ]] || theirs+=("${option#theirs:}")
  done
}

# All times are of long ago, so that what kept its time is told from what was made by the build.
make_context() { # script
  rm -rf "$context" && mkdir "$context"
  cp "$work/Dockerfile" "$context/Dockerfile"
  (cd "$context" && umask 022 && eval "$1")
  find "$context" -exec touch -h -d @1000000000 {} +
}

# What a container of it sees, which has to be what its layers say.
export_ours() {
  local container
  container=$(b create ours true 2>/dev/null)
  b export -o "$work/export.tar" "$container"
  b rm "$container" >/dev/null
}

keep() { [ -z "${KEEP:-}" ] || cp "$work/ours.tar" "$work/theirs.tar" "$KEEP"; }

built_alike() { # context-script [option...]
  local their_build status=0 ours theirs
  make_context "$1"
  divide_options "${@:2}"
  rm -f "$work"/{ours,theirs}.tar
  build_theirs "${theirs[@]}" >"$work/theirs.log" 2>&1 &
  their_build=$!
  build_ours "${ours[@]}" >/dev/null || status=$?
  wait $their_build || { echo "buildah:"; tail -n 3 "$work/theirs.log"; false; }
  is 0 $status "exit status of berth build"
  b save -o "$work/ours.tar" ours
  keep
  export_ours
  "$cases/compare.py" images "$work/ours.tar" "$work/theirs.tar" "$work/export.tar"
}

gives_manifest() { # context-script manifest [option...]
  make_context "$1"
  build_ours "${@:3}" >/dev/null
  b save -o "$work/ours.tar" ours
  cp "$work/box.tar" "$work/theirs.tar"
  keep
  export_ours
  "$cases/compare.py" manifest "$work/ours.tar" "$work/box.tar" "$work/export.tar" <<<"$2"
}

refused_by_ours() { # context-script regex [option...]
  local said
  make_context "$1"
  said=$(build_ours "${@:3}" 2>&1) && { echo "it was built"; false; }
  grep -qE -- "$2" <<<"$said" || { echo "<$2> is not in: $said"; false; }
}
refused_by_both() { # the same
  local ours theirs
  make_context "$1"
  divide_options "${@:3}"
  rm -f "$work/theirs.tar"
  fails build_theirs "${theirs[@]}"
  refused_by_ours "$1" "$2" "${ours[@]}"
}

alike() { cat >"$work/Dockerfile"; case_of "$1" built_alike "${@:2}"; }
gives() { cat >"$work/Dockerfile"; case_of "$1" gives_manifest "${@:2}"; }
refused_here() { cat >"$work/Dockerfile"; case_of "$1" refused_by_ours "${@:2}"; }
refused() { cat >"$work/Dockerfile"; case_of "$1" refused_by_both "${@:2}"; }

# --- what both build upon ------------------------------------------------------------------------------------------------

make_bases() { # "box" has a place for what is mounted into steps, as images of distributions have; "plain" has none
  image_make plain
  : >"$work/image/etc/hosts" && cp "$work/image/etc/hosts" "$work/image/etc/hostname" && cp "$work/image/etc/hosts" "$work/image/etc/resolv.conf"
  mkdir "$work/image/run"
  tar -C "$work/image" -c . | b import -c 'ENV PATH=/usr/local/bin:/usr/bin:/bin' -c 'CMD ["sh"]' - box >/dev/null
  b save -o "$work/box.tar" box
  buildah_here pull -q "docker-archive:$work/box.tar" >/dev/null
  printf '%s\n' 'FROM box' 'WORKDIR /app' 'ONBUILD COPY . .' 'ONBUILD RUN echo from trigger >made' 'ONBUILD USER alice' |
    b build -q -t trigger - >/dev/null
}

# --- what they fetch -----------------------------------------------------------------------------------------------------

serve() { # what ADD takes from this machine; sets $www
  mkdir "$work/www"
  echo fetched >"$work/www/f.txt"
  touch -d @1000000000 "$work/www/f.txt"
  tar -C "$work/www" -cz -f "$work/www/a.tar.gz" f.txt
  python3 -u -m http.server --bind 127.0.0.1 --directory "$work/www" 0 >"$work/www.log" 2>&1 </dev/null &
  server=$!
  disown $server
  eventually 60 grep -q 'port [0-9]' "$work/www.log" || exit 1
  www=http://127.0.0.1:$(sed -n 's/.*port \([0-9]*\).*/\1/p;q' "$work/www.log")
}

engine_start main || exit 1
serve
echo -n topsecret >"$work/secret"
case_of "both have the base image" make_bases
for file in "$cases"/*.sh; do
  # shellcheck source=/dev/null
  source "$file"
done
remove_all
finish
