#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Directories that `berth build` passes to the engine instead of sending them: what is read, with whose permissions, what is read
# again, and what happens when they change meanwhile or cannot be passed.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

somebody=61234 shared=61299

build() { b build -q -t out "$@" . >/dev/null; }
out() { b run --rm --network none out "$@"; }
# What the engine has read, in bytes: of files, sockets and pipes.
bytes_read() { awk '/^rchar/ {print $2}' "/proc/$(engine_pid main)/io"; }
# As another user, in group $shared if the first word says so.
as_somebody() {
  local groups=()
  [ "$1" = shared ] && { groups=(--groups "$shared"); shift; }
  [ ${#groups[@]} -gt 0 ] || groups=(--clear-groups)
  HOME=$work/nowhere timeout -k 5 $((40 * slowness)) setpriv --reuid "$somebody" --regid "$somebody" "${groups[@]}" "$@"
}

is_not_sent() { # the client sends no file, and the engine reads none that it knows
  context <<<$'FROM box\nCOPY big /\nCOPY d /d/'
  mkdir d
  head -c 30000000 /dev/urandom >big
  head -c 1000 /dev/urandom >d/small
  sleep 0.3 # younger files are read again: they may be written twice within a tick of the clock
  build
  local before
  before=$(bytes_read)
  build
  local read=$(($(bytes_read) - before))
  [ "$read" -lt 5000000 ] || { echo "the engine read $read bytes again"; return 1; }
  echo changed >d/small
  before=$(bytes_read)
  build
  is changed "$(out cat /d/small)"
  cmp big <(out cat /big)
}
nothing_is_copied_aside() {
  context <<<$'FROM box\nCOPY big /'
  head -c 3000000 /dev/zero >big
  build
  is "" "$(find "$work/main/data/build/contexts" -mindepth 1)"
}
another_user() { # reads what he may read, and nothing else
  context <<<$'FROM box\nCOPY f /'
  echo his >f && chown "$somebody" f && chmod 400 f
  chmod 666 "${BERTH_HOST#unix://}"
  as_somebody berth build -q -t out . >/dev/null
  is his "$(out cat /f)"
  # As a member of a group.
  echo ours >f && chown 0:$shared f && chmod 640 f
  sleep 0.3 # now it is remembered, and for the members of the group alone
  as_somebody shared berth build -q -t out . >/dev/null
  is ours "$(out cat /f)"
  local said
  said=$(as_somebody berth build -q -t wrong . 2>&1) && { echo "read by the engine's own permissions"; return 1; }
  contains "$said" "f: "
  lacks "$said" ours
}
what_root_built_is_not_known_to_others() { # neither by what is cached of the file, nor by the layer
  context <<<$'FROM box\nCOPY secret /'
  echo "for root" >secret && chmod 600 secret
  sleep 0.3
  build && build
  chmod 666 "${BERTH_HOST#unix://}"
  local said
  said=$(as_somebody berth build -q -t stolen . 2>&1) && { echo "another user has the file of root's build"; return 1; }
  fails b image inspect stolen
  mkdir shut && mv secret shut/ && chmod 700 shut
  echo $'FROM box\nCOPY shut /' >Dockerfile
  said=$(as_somebody berth build -q -t stolen . 2>&1) && { echo "another user has the directory"; return 1; }
  echo $'FROM box\nRUN --mount=type=bind,target=/all cat /all/shut/secret' >Dockerfile
  said=$(as_somebody berth build -q -t stolen . 2>&1) && { echo "another user has the mount"; return 1; }
  lacks "$said" "for root"
}
links_stay_inside() {
  context <<<$'FROM box\nCOPY link /a\nCOPY inner/up /b'
  mkdir inner
  echo inside >etc-hostname
  ln -s /etc-hostname link
  ln -s ../../../../../etc-hostname inner/up
  build
  is "inside inside" "$(out cat /a /b | xargs)"
  ln -sf /etc/shadow link
  local said
  said=$(b build -q . 2>&1) && { echo "a link led out"; return 1; }
  contains "$said" "not in the build context"
}
procfs_shows_no_more() { # than it shows the user: acting for him the engine has no capability
  context <<<$'FROM box\nCOPY kallsyms /k'
  chmod 666 "${BERTH_HOST#unix://}"
  local said file=$PWD/Dockerfile
  cd /proc || return
  # Its size is nothing, its contents are not: it cannot be copied at all. What is said must not quote it.
  said=$(as_somebody berth build -q -t wrong -f "$file" . 2>&1) && { echo "a file of procfs was copied"; return 1; }
  contains "$said" "keep changing"
  echo $'FROM box\nCOPY maps /m' >"$file"
  cd "/proc/$(engine_pid main)" || return
  said=$(as_somebody berth build -q -t wrong -f "$file" . 2>&1) && { echo "a root process was looked into"; return 1; }
  fails b image inspect wrong
}
data_root_within() { # is not copied into itself
  context <<<"FROM box"
  local file=$PWD/Dockerfile
  echo $'FROM box\nCOPY . /all/' >"$file"
  cd "$work/main" || return
  echo '*' >.dockerignore
  echo '!data/build' >>.dockerignore
  b build -q -t out -f "$file" . >/dev/null
  rm .dockerignore
  lacks "$(out find /all)" steps
}
special_files() { # a FIFO does not hold the build, a device is none that a context may bring
  context <<<$'FROM box\nCOPY f /'
  mkfifo f
  build
  is "fifo" "$(out stat -c %F /f)"
  rm f && mknod f c 1 3
  refused 1 "device" b build -q .
}
files_that_change_meanwhile() { # what is in the image is what its key says, whatever is written while it is copied
  context <<<$'FROM box\nCOPY d /d/'
  mkdir d
  local number
  for number in $(seq 100); do head -c 20000 /dev/urandom >"d/$number"; done
  (while :; do for number in $(seq 100); do echo "$RANDOM" >"d/$number"; done; done) &
  local writer=$! said
  for _ in 1 2; do
    said=$(b build -q -t moving . 2>&1) || contains "$said" "keep changing"
  done
  kill "$writer"
  wait "$writer" || true
  # The directory as it stands now is what a build of it gives, and not what one of before has left under its key.
  b build -q -t out . >/dev/null
  for number in 1 7 99; do is "$(cat "d/$number")" "$(out cat "/d/$number")"; done
}
named_directories() {
  context <<<$'FROM box\nCOPY --from=other f /f\nRUN --mount=type=bind,from=other,target=/o cp /o/g /g && ls /o >/listed'
  mkdir "$work/other" && echo f >"$work/other/f" && echo g >"$work/other/g" && echo h >"$work/other/h"
  echo h >"$work/other/.dockerignore"
  build --build-context other="$work/other"
  is "f g" "$(out cat /f /g | xargs)"
  lacks "$(out cat /listed)" h
  refused 1 "nowhere" b build -q --build-context other="$work/nowhere" .
  refused 1 "other.*not found" b build -q --build-context other=oci-layout://x .
}
named_directory_stands_for_an_image() {
  context <<<$'FROM box\nCOPY --from=docker.io/library/whatever:1 f /f'
  mkdir -p "$work/instead" && echo instead >"$work/instead/f"
  build --build-context docker.io/library/whatever:1="$work/instead"
  is instead "$(out cat /f)"
}
dockerfile_elsewhere_keeps_its_name() {
  context <<<"FROM box"
  mkdir "$work/elsewhere" && echo $'FROM box\nNONSENSE' >"$work/elsewhere/Special"
  local said
  said=$(b build -f "$work/elsewhere/Special" . 2>&1) && return 1
  contains "$said" "Special:2"
}
forwarded_sockets() { # nothing is passed through one: the directory is sent
  cat >"$work/forward.py" <<'P'
import socket, sys, threading
def copy(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(16)
while True:
    near = listener.accept()[0]
    far = socket.socket(socket.AF_UNIX)
    far.connect(sys.argv[2])
    for pair in ((near, far), (far, near)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
P
  python3 "$work/forward.py" "$work/forwarded.sock" "${BERTH_HOST#unix://}" &
  local forwarder=$!
  eventually 60 test -S "$work/forwarded.sock"
  context <<<$'FROM box\nCOPY . /all/'
  echo kept >f && echo left >g && echo g >.dockerignore
  local passed sent
  passed=$(b build -q .)
  sent=$(BERTH_HOST=unix://$work/forwarded.sock b build -q -t out .)
  is "kept" "$(out cat /all/f)"
  is "$passed" "$sent" # the same layers from the cache, whichever way the files came
  BERTH_HOST=unix://$work/forwarded.sock refused 1 "own socket" b build -q --build-context other="$work" .
  kill "$forwarder"
}
descriptors_that_are_wrong() { # of files, of nothing, of too many
  cat >"$work/pass.py" <<'P'
import array, base64, json, os, socket, sys
def ask(document, descriptors):
    text = json.dumps(document)
    body = f"{len(text)}\n{text}".encode()
    head = (f"POST /v1.44/build?t=wrong HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/vnd.berth.build\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    engine = socket.socket(socket.AF_UNIX)
    engine.settimeout(20)
    engine.connect(sys.argv[1])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    engine.sendmsg([head + body], rights)
    answer = b""
    while data := engine.recv(65536):
        answer += data
    print(answer.split(b"\r\n")[0].decode(), answer.split(b"\r\n\r\n")[-1].decode().replace("\n", " "))
def local(**more):
    return {"local": {"name": "Dockerfile", "dockerfile": base64.b64encode(b"FROM box\nCOPY . /\n").decode(), "ignore": "", **more}}
null, file, directory = os.open("/dev/null", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY), os.open(sys.argv[2], os.O_RDONLY)
pipe = os.pipe()
ask(local(descriptor=0), [])
ask(local(descriptor=1), [directory])
ask(local(descriptor=2**64 - 1), [directory])
ask(local(descriptor=0), [file])
ask(local(descriptor=0), [null])
ask(local(descriptor=0), [pipe[0]])
ask(local(), [directory])
ask(local(descriptor=0, ignore="%%%"), [directory])
ask({**local(descriptor=0), "contexts": {"x": {"descriptor": 0}}}, [directory])
ask(local(descriptor=0), [directory] * 200)
P
  context <<<"FROM scratch"
  local before answers
  before=$(find "/proc/$(engine_pid main)/fd" | wc -l)
  answers=$(python3 "$work/pass.py" "${BERTH_HOST#unix://}" "$PWD")
  echo "$answers"
  is 10 "$(wc -l <<<"$answers")"
  # The last is served: more than the first few are not needed. All others are refused with a sentence.
  is 1 "$(grep -c ' 200 ' <<<"$answers")"
  is 9 "$(grep -c ' 400 ' <<<"$answers")"
  sleep 0.5
  local after
  after=$(find "/proc/$(engine_pid main)/fd" | wc -l)
  [ "$after" -le $((before + 2)) ] || { echo "$before descriptors were open, and now $after"; return 1; }
}

engine_start main
image_make
chmod 711 "$work" "$work/main" # for the other user
case_of "a directory is passed, and what is known is not read again" is_not_sent
case_of "a directory is not copied aside" nothing_is_copied_aside
case_of "the engine reads it as its user" another_user
case_of "what root has built is not another user's" what_root_built_is_not_known_to_others
case_of "links stay inside" links_stay_inside
case_of "procfs shows the engine no more than the user" procfs_shows_no_more
case_of "the engine's own directory is left out" data_root_within
case_of "FIFOs and devices" special_files
case_of "files that change while they are copied" files_that_change_meanwhile
case_of "directories as named contexts" named_directories
case_of "a directory instead of an image" named_directory_stands_for_an_image
case_of "a Dockerfile from elsewhere keeps its name" dockerfile_elsewhere_keeps_its_name
case_of "a forwarded socket passes nothing" forwarded_sockets
case_of "descriptors that are wrong" descriptors_that_are_wrong
finish
