#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A full disk below the data root or the exec root: clean errors, an engine that lives, `ps` and `rm` that work, and
# space that comes back.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

small_disk() { # directory megabytes: ext4 on a loop device, or a tmpfs
  mkdir -p "$1"
  truncate -s "$2M" "$1.disk"
  if mkfs.ext4 -q -F -m 0 "$1.disk" 2>/dev/null && mount -o loop "$1.disk" "$1" 2>/dev/null; then
    rm -rf "$1/lost+found"
  elif mount -t tmpfs -o "size=$2m" tmpfs "$1"; then
    # An overlay's upper directory on a tmpfs needs extended attributes of the kernel's 6.6 and later.
    echo "(no loop device: $1 is a tmpfs)"
  else
    return 1
  fi
}
free_kilobytes() { df -k --output=avail "$1" | tail -n 1; }
fill() { # to the last byte
  dd if=/dev/zero of="$1/filler" bs=64k 2>/dev/null || true
  dd if=/dev/zero of="$1/filler" bs=1 count=4096 oflag=append conv=notrunc 2>/dev/null || true
  at_most 63 "$(free_kilobytes "$1")" "kB free"
}
unfill() { rm -f "$1/filler"; sync -f "$1"; }

alive() { # and of use, though full
  engine_answers main
  b ps -a >/dev/null
  b inspect steady >/dev/null
  b images >/dev/null
  is out "$(b exec steady echo out)"
  is running "$(b inspect -f '{{.State.Status}}' steady)"
}
# One case, on disks that the one before may have left full.
full() {
  unfill "$data"
  unfill "$run"
  case_of "$@"
}
fails_cleanly() { # command...: exit status neither 0 nor a signal's, words about the space
  local status=0 said
  said=$(b "$@" 2>&1) || status=$?
  if [ $status = 0 ] || [ $status -gt 127 ]; then echo "exit $status from: $*: ${said:0:300}"; return 1; fi
  grep -qiE 'space|full|disk|quota' <<<"$said" || { echo "no word of the space from: $*: ${said:0:400}"; return 1; }
}

# --- the data root ---

import_full() {
  fill "$data"
  fails_cleanly import "$work/big.tar" big
  is "" "$(b images -q big)"
  alive
  unfill "$data"
}
import_too_large() { # the disk becomes full on the way
  local before
  before=$(free_kilobytes "$data")
  fails_cleanly import "$work/huge.tar" huge
  alive
  sync -f "$data"
  eventually 10 space_is_back "$before"
}
space_is_back() { [ "$(free_kilobytes "$data")" -ge $(($1 - 256)) ]; }
run_full() {
  local status=0 said before
  before=$(b ps -aq | wc -l)
  fill "$data"
  said=$(b run --name on-full box echo hello 2>&1) || status=$?
  case $status in
    0) contains "$said" hello ;; # it found room for the little that it needed
    12[5-7]) grep -qiE 'space|full|disk' <<<"$said" || { echo "$said"; return 1; } ;;
    *) echo "exit $status: $said"; return 1 ;;
  esac
  alive
  b rm -f on-full 2>/dev/null || true
  is "$before" "$(b ps -aq | wc -l)" "containers"
  unfill "$data"
  is hello "$(b run --rm box echo hello)"
}
log_full() { # a program that writes is neither stopped nor killed by a log that cannot be
  b run -d --name logger box sh -c 'n=0; while :; do n=$((n + 1)); echo "line $n 0123456789012345678901234567890123456789"; echo $n >/dev/shm/n; sleep 0.01; done'
  fill "$data"
  sleep 1
  local one two
  one=$(b exec logger cat /dev/shm/n)
  sleep 1
  two=$(b exec logger cat /dev/shm/n)
  [ "$two" -gt "$one" ] || { echo "the program stands still at $two"; return 1; }
  b logs --tail 1 logger >/dev/null
  alive
  unfill "$data"
  sleep 1
  contains "$(b logs --tail 1 logger)" "line "
  local last
  last=$(b logs --tail 1 logger | cut -d' ' -f2)
  [ "$last" -gt "$two" ] || { echo "the log does not go on: $last after $two"; return 1; }
  b rm -f logger
}
commit_full() {
  b exec steady sh -c 'dd if=/dev/urandom of=/root/big bs=1M count=3 2>/dev/null'
  fill "$data"
  fails_cleanly commit steady committed
  is "" "$(b images -q committed)"
  alive
  unfill "$data"
  b commit steady committed
  is 3145728 "$(b run --rm committed stat -c %s /root/big)"
  b rmi committed
  b exec steady rm /root/big
}
build_full() { # at each of a build's parts: the context, a copy, a step; none of them stays
  local context=$work/context before
  mkdir -p "$context"
  printf 'FROM box\nCOPY big /big\nRUN cat /big /big >/twice\n' >"$context/Dockerfile"
  head -c 3000000 /dev/urandom >"$context/big"
  before=$(free_kilobytes "$data")
  fill "$data"
  fails_cleanly build -t built "$context"
  unfill "$data"
  printf 'FROM box\nRUN cat /dev/zero >/all\n' >"$context/Dockerfile"
  fails_cleanly build -t built "$context"
  printf 'FROM box\nRUN true\nRUN --mount=type=cache,target=/c cat /dev/zero >/c/all\n' >"$context/Dockerfile"
  fails_cleanly build -t built "$context"
  is "" "$(b images -q built)"
  alive
  b builder prune -af >/dev/null # what the cache mount holds is kept, as it is for the next
  sync -f "$data"
  eventually 10 space_is_back "$before"
  is "" "$(find "$data/build/steps" "$data/build/contexts" -mindepth 1)"
  printf 'FROM box\nCOPY big /big\n' >"$context/Dockerfile"
  b build -q -t built "$context"
  b rmi built >/dev/null
  b builder prune -af >/dev/null
  rm -rf "$context"
}
cp_full() {
  fill "$data"
  fails_cleanly cp "$work/big.tar" steady:/root/
  alive
  unfill "$data"
  b exec steady rm -rf /root/big.tar
}
load_full() {
  fill "$data"
  local status=0 said
  said=$(b load -i "$work/big-image.tar" 2>&1) || status=$?
  [ $status = 1 ] || { echo "exit $status: $said"; return 1; }
  alive
  unfill "$data"
}
remove_images_full() { # the same, with what was kept for it and when that is used up
  local image
  for image in small1 small2 small3; do b import "$work/$image.tar" $image; done
  fill "$data"
  b rmi small1
  fill "$data"
  rm -f "$data/reserve"
  fill "$data"
  b rmi small2
  fill "$data"
  b rmi small3
  for image in small1 small2 small3; do is "" "$(b images -q $image)"; done
  alive
  unfill "$data"
}
remove_full() { # what one does to get space back works without any
  b run -d --name victim box sleep 1000
  b create --name victim2 box true
  fill "$data"
  b stop -t 0 victim
  is exited "$(b inspect -f '{{.State.Status}}' victim)"
  b rm victim
  b rm -f victim2
  fails b inspect victim >/dev/null 2>&1
  unfill "$data"
}
start_full() { # an engine can be started on a full disk
  fill "$data"
  engine_end main TERM
  engine_start main
  alive
  kill -9 "$(engine_pid main)"
  eventually 5 gone "$(engine_pid main)"
  engine_start main
  alive
  unfill "$data"
}

# --- the exec root ---

exec_root_full() {
  local status=0 said
  fill "$run"
  said=$(b run --name no-room box true 2>&1) || status=$?
  [ $status = 125 ] || { echo "exit $status: $said"; return 1; }
  grep -qiE 'space|full|disk' <<<"$said" || { echo "no word of the space: $said"; return 1; }
  alive
  b rm -f no-room 2>/dev/null || true
  b run -d --name no-room box sleep 1000 2>/dev/null && return 1
  b rm -f no-room 2>/dev/null || true
  unfill "$run"
  b run --rm box true
}
exec_root_full_at_the_end() { # of a container, whose exit code then has to be written
  b run -d --name ends box sh -c 'sleep 1.5; exit 33'
  fill "$run"
  sleep 2.5
  eventually 5 state_is ends exited
  is 33 "$(b inspect -f '{{.State.ExitCode}}' ends)"
  b rm ends
  unfill "$run"
}
exec_root_full_and_killed() { # the engine, too
  fill "$run"
  kill -9 "$(engine_pid main)"
  eventually 5 gone "$(engine_pid main)"
  engine_start main
  alive
  unfill "$run"
}

data=$work/main/data run=$work/main/run
mkdir -p "$work/main"
small_disk "$data" 32 || { echo "SKIP: neither a loop device nor a tmpfs can be mounted"; exit 77; }
mkdir -p "$run"
mount -t tmpfs -o size=2m tmpfs "$run" || exit 1
chmod 711 "$data" "$run"
head -c 8000000 /dev/urandom >"$work/big"
tar -C "$work" -cf "$work/big.tar" big
head -c 60000000 /dev/urandom >"$work/big"
tar -C "$work" -cf "$work/huge.tar" big
for image in small1 small2 small3; do
  head -c 500000 /dev/urandom >"$work/big"
  tar -C "$work" -cf "$work/$image.tar" big
done
rm "$work/big"

engine_start main || exit 1
image_make
b import "$work/big.tar" big-one >/dev/null && b save -o "$work/big-image.tar" big-one && b rmi big-one >/dev/null
b run -d --name steady box sleep 100000 >/dev/null
full "import onto a full disk" import_full
full "import of what is larger than the disk" import_too_large
full "run on a full disk" run_full
full "logs on a full disk" log_full
full "commit on a full disk" commit_full
full "build on a full disk" build_full
full "cp on a full disk" cp_full
full "load on a full disk" load_full
full "rmi on a full disk" remove_images_full
full "stop and rm on a full disk" remove_full
full "the engine starts on a full disk" start_full
full "run with a full exec root" exec_root_full
full "an exit with a full exec root" exec_root_full_at_the_end
full "the engine starts with a full exec root" exec_root_full_and_killed
finish
