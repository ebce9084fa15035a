#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Volumes: what people do with them, what containers try with them, and what a killed engine or a full disk leaves.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"

volumes=$work/main/data/volumes
secret=$work/secret # what attackers want to read or overwrite
untouched() { is "secret of the host" "$(cat "$secret/file")"; is file "$(ls -A "$secret")"; }
run() { b run --network none "$@"; }
create() { b create --network none "$@"; }
names() { b volume ls -q | sort | xargs; }
mounted() { grep -q " $volumes/$1/_data " /proc/mounts; }
not_mounted() { ! mounted "$1"; }
engine_kill() { kill -9 "$(engine_pid main)"; eventually 10 gone "$(engine_pid main)"; }
engine_again() { engine_kill && engine_start main; }

# --- what people do ---

named() {
  is data "$(b volume create --label a=b data)"
  is data "$(b volume create data)" # the same answer
  run --rm -v data:/d box sh -c 'echo kept >/d/f'
  is kept "$(run --rm -v data:/d:ro box cat /d/f)"
  exits 1 run --rm -v data:/d:ro box touch /d/g
  is "local b local $volumes/data/_data" \
    "$(b volume inspect -f '{{.Driver}} {{index .Labels "a"}} {{.Scope}} {{.Mountpoint}}' data)"
  is kept "$(cat "$volumes/data/_data/f")"
  is data "$(b volume ls -q -f label=a=b)"
  is "data b" "$(b volume ls --format '{{.Name}} {{.Label "a"}}')"
  is data "$(b volume ls -q -f name=dat -f dangling=true)"
  is data "$(b volume ls -q -f name='^da.a$')"
  is "" "$(b volume ls -q -f name='^dat$')"
  is "" "$(b volume ls -q -f driver=other)"
  is data "$(b volume rm data)"
  refused 1 'no such volume' b volume inspect data
  refused 1 'no such volume' b volume rm data
  b volume rm -f data
}

forms() { # of -v and --mount
  local dir=$work/bound option
  mkdir -p "$dir" && echo host >"$dir/f"
  for option in ro rw z Z ro,z ro,Z cached,ro rprivate ro,rslave shared; do
    is host "$(run --rm -v "$dir:/d:$option" box cat /d/f)" "-v with $option"
  done
  for option in ro rw z Z nocopy ro,nocopy,z; do run --rm -v "forms:/d:$option" box test -d /d; done
  for option in rslave private; do refused 125 'invalid mode' run --rm -v "forms:/d:$option" box true; done
  refused 125 'invalid mode' run --rm -v "$dir:/d:nocopy" box true
  for option in "type=bind,src=$dir,dst=/d" "type=bind,source=$dir,target=/d,readonly" \
    "type=bind,source=$dir,destination=/d,ro=true,bind-propagation=rslave" \
    "type=bind,src=$dir,dst=/d,bind-nonrecursive" "type=bind,src=$dir,dst=/d,bind-recursive=disabled" \
    "type=bind,src=$dir,dst=/d,readonly,bind-recursive=writable" "type=bind,src=$dir,dst=/d,consistency=cached" \
    "type=bind,src=$dir,dst=/d,readonly,bind-propagation=rprivate,bind-recursive=readonly"; do
    is host "$(run --rm --mount "$option" box cat /d/f)" "--mount $option"
  done
  refused 125 'does not exist' run --rm --mount "type=bind,src=$dir/missing,dst=/d" box true
  contains "$(run --rm --mount type=tmpfs,dst=/t,tmpfs-size=3m,tmpfs-mode=1700 box sh -c 'df -k /t; stat -c %a /t')" 3072
  run --rm --mount 'type=volume,src=labelled,dst=/d,volume-label=a=b,volume-driver=local' box true
  is b "$(b volume inspect -f '{{index .Labels "a"}}' labelled)"
  refused 125 'not installed' run --rm --mount type=volume,src=other,dst=/d,volume-driver=nfs box true
  refused 1 'not installed' b volume create -d nfs other
  refused 1 'invalid characters' b volume create ../x
  refused 125 'invalid' run --rm -v ../../x:relative box true
  b volume rm forms labelled
}

copy_up() {
  is "root:x:0:0:root:/root:/bin/sh" "$(run --rm -v filled:/etc box head -n 1 /etc/passwd)"
  is "1000:1001 750" "$(run --rm -v owned:/srv/mine owned-image stat -c '%u:%g %a' /srv/mine)"
  is "" "$(run --rm -v bare:/etc:nocopy box cat /etc/passwd 2>/dev/null || true)"
  run --rm --mount type=volume,src=bare,dst=/etc,volume-nocopy box test ! -e /etc/passwd
  run --rm -v filled:/home box test -f /home/passwd # not filled a second time
  b volume rm filled owned bare
}

anonymous() {
  run --rm -v /data box touch /data/x
  is "" "$(names)"
  create --name first -v /data -v named:/n box true
  is 2 "$(b volume ls -q | wc -l)"
  create --name second --volumes-from first box true
  b rm -v first
  is 2 "$(b volume ls -q | wc -l)" "volumes while another container has them"
  b rm -v second
  is named "$(names)"
  create --name third -v /data box true
  b rm third
  is 2 "$(b volume ls -q | wc -l)" "volumes after rm without -v"
  contains "$(b volume prune -f)" "Total reclaimed space"
  is named "$(names)" # it has a name
  run --rm imaged sh -c 'echo x >/var/image/file'
  create --name fourth imaged
  is 2 "$(b volume ls -q | wc -l)" "volumes of an image's VOLUME"
  b rm -v fourth
  is named "$(names)"
  contains "$(b volume prune -a -f)" named
  is "" "$(names)"
}

in_use() {
  create --name holder -v held:/d box true
  refused 1 'in use.*holder' b volume rm held
  refused 1 'in use.*holder' b volume rm -f held
  b rename holder keeper
  refused 1 'in use.*keeper' b volume rm held
  is 409 "$(http DELETE /volumes/held)"
  is 200 "$(http_json POST '/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D' '')"
  engine_again
  refused 1 'in use.*keeper' b volume rm held
  b rm keeper
  b volume rm held
}

volumes_from() {
  create --name source -v shared:/shared -v "$work/image:/image:ro" --tmpfs /memory box true
  run --rm --volumes-from source box sh -c 'echo vf >/shared/f; test -d /image/bin'
  is vf "$(run --rm --volumes-from source:ro box cat /shared/f)"
  is vf "$(run --rm --volumes-from source:ro,z box cat /shared/f)"
  exits 1 run --rm --volumes-from source:z,ro box touch /shared/g
  exits 1 run --rm --volumes-from source:ro box touch /shared/g
  refused 125 'no such container' run --rm --volumes-from nobody box true
  refused 125 'invalid mode' run --rm --volumes-from source:loud box true
  b rm source
  create --name first -v first:/var/image box true
  create --name later -v later:/var/image box true
  run --rm -v first:/v box sh -c 'echo first >/v/f'
  run --rm -v later:/v box sh -c 'echo later >/v/f'
  is first "$(run --rm --volumes-from first imaged cat /var/image/f)" "before the image's VOLUME"
  is later "$(run --rm --volumes-from first --volumes-from later imaged cat /var/image/f)"
  is first "$(run --rm --volumes-from later -v first:/var/image imaged cat /var/image/f)" "after -v"
  b rm first later
  b volume rm shared first later
}

inspected() { # what `inspect` says about mounts
  create --name shown -v v1:/a -v "$work/image:/b:ro" --mount type=tmpfs,dst=/c --mount type=volume,src=v1,dst=/e,readonly box true
  is "volume v1 $volumes/v1/_data /a local true" \
    "$(b inspect -f '{{range .Mounts}}{{if eq .Destination "/a"}}{{.Type}} {{.Name}} {{.Source}} {{.Destination}} {{.Driver}} {{.RW}}{{end}}{{end}}' shown)"
  is "bind $work/image false rprivate" \
    "$(b inspect -f '{{range .Mounts}}{{if eq .Destination "/b"}}{{.Type}} {{.Source}} {{.RW}} {{.Propagation}}{{end}}{{end}}' shown)"
  is "tmpfs true" "$(b inspect -f '{{range .Mounts}}{{if eq .Destination "/c"}}{{.Type}} {{.RW}}{{end}}{{end}}' shown)"
  is "volume false" "$(b inspect -f '{{range .Mounts}}{{if eq .Destination "/e"}}{{.Type}} {{.RW}}{{end}}{{end}}' shown)"
  b rm shown
  b volume rm v1
}

options() {
  b volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=2m,mode=1777 memory
  is memory "$(b volume create --label a=b memory)" # as it is
  is "{} size=2m,mode=1777" "$(b volume inspect -f '{{json .Labels}} {{.Options.o}}' memory)"
  refused 1 'other options' b volume create --opt type=tmpfs --opt device=tmpfs memory
  contains "$(run --rm -v memory:/d box df -k /d)" 2048
  eventually 10 not_mounted memory
  run -d --name one -v memory:/d box sh -c 'echo shared >/d/f; sleep 1000'
  eventually 10 test -f "$volumes/memory/_data/f"
  is shared "$(run --rm -v memory:/d box cat /d/f)"
  mounted memory
  b rm -f one
  eventually 10 not_mounted memory
  mkdir -p "$work/elsewhere"
  echo here >"$work/elsewhere/f"
  is here "$(run --rm --mount "type=volume,src=bound,dst=/d,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=$work/elsewhere" box cat /d/f)"
  b volume rm bound memory
  is here "$(cat "$work/elsewhere/f")"
  b volume create -o type=none -o o=bind -o "device=$work/missing" lost
  refused 127 'failed to mount local volume lost' run --rm -v lost:/d box true
  refused 1 'missing required option' b volume create -o type=tmpfs incomplete
  b volume rm lost
}

restarted() { # what the last run gives back is not what the next one has taken
  local _ id
  b volume create -o type=tmpfs -o device=tmpfs -o o=size=1m memory
  b network create again >/dev/null
  id=$(b run -d --init --network again -v memory:/d box sleep 1000)
  for _ in {1..30}; do
    b restart -t 0 "$id"
    mounted memory
    b exec "$id" sh -c 'echo x >/d/f; ip -4 -o address show dev eth0 | grep -q inet'
    [ -n "$(b inspect -f '{{(index .NetworkSettings.Networks "again").IPAddress}}' "$id")" ]
  done
  sleep 0.3
  mounted memory
  b exec "$id" test -f /d/f
  test -f "$volumes/memory/_data/f"
  b rm -f "$id"
  eventually 10 not_mounted memory
  b network rm again
  b volume rm memory
}

kept() { # what `rm` without -v leaves is somebody's, also after --rm and a new engine
  local id name
  id=$(run -d --rm -v /data box sh -c 'echo precious >/data/f; sleep 1000')
  name=$(names)
  eventually 10 test -f "$volumes/$name/_data/f"
  b rm -f "$id"
  is "$name" "$(names)"
  engine_again
  is precious "$(run --rm -v "$name:/d" box cat /d/f)"
  contains "$(b volume prune -f)" "$name"
}

copied() { # cp sees what a container mounts, also when it does not run
  local dir=$work/copied begin
  mkdir -p "$dir"
  echo host >"$dir/f"
  echo new >"$work/new"
  begin=$(date +%s)
  b volume create -o type=none -o o=bind -o "device=$dir" behind
  b volume create -o type=tmpfs -o device=tmpfs -o o=size=1m memory
  create --name still -v data:/d -v "$dir:/host" -v "$dir/f:/d/one" -v behind:/behind -v data:/locked:ro -v memory:/m box true
  b cp "$work/new" still:/d/f
  is new "$(cat "$volumes/data/_data/f")"
  is new "$(b cp still:/locked/f - | tar -xO)"
  is host "$(b cp still:/behind/f - | tar -xO)"
  is host "$(b cp still:/d/one - | tar -xO)"
  b cp "$work/new" still:/host/f
  is new "$(cat "$dir/f")"
  refused 1 'read-only' b cp "$work/new" still:/locked/g
  exits 1 b cp still:/m/missing -
  eventually 10 not_mounted behind
  eventually 10 not_mounted memory
  is create "$(b events --since "$begin" --until "$(($(date +%s) + 1))" -f type=volume -f volume=behind --format '{{.Action}}' | xargs)"
  b start -a still
  is new "$(b cp still:/d/f - | tar -xO)"
  mv "$dir" "$dir.away"
  refused 1 "$dir" b cp still:/d/f -
  b rm still
  b volume rm data behind memory
}

copied_etc() { # the files over /etc are the last run's
  create --name etc --hostname shown box cat /etc/hosts
  is "" "$(b cp etc:/etc/hosts - | tar -xO)" "before the first start"
  b start -a etc >"$work/hosts"
  is "$(cat "$work/hosts")" "$(b cp etc:/etc/hosts - | tar -xO)"
  is shown "$(b cp etc:/etc/hostname - | tar -xO)"
  b cp etc:/etc/resolv.conf - >/dev/null
  b rm etc
}

short_lived() { # --rm: copied from and to before the start, and restarted with what it wrote
  local id
  echo copied >"$work/copied"
  create --rm --name brief box sh -c 'cat /root/copied; echo written >>/root/written; sleep 1000'
  b cp brief:/etc/passwd - >/dev/null
  b cp "$work/copied" brief:/root/
  b cp "$work/copied" brief:/root/again
  is copied "$(b cp brief:/root/copied - | tar -xO)"
  b start brief
  eventually 10 b exec brief test -f /root/written
  b restart -t 0 brief
  b restart -t 0 brief
  eventually 10 eval "[ \"\$(b exec brief wc -l </dev/null -- /root/written)\" = '3 /root/written' ]"
  is "copied copied copied" "$(b logs brief | xargs)"
  b stop -t 0 brief
  eventually 10 eval "! b inspect brief >/dev/null 2>&1"
  id=$(run -d --rm box sleep 1000)
  b exec "$id" sh -c 'echo kept >/root/f'
  b restart -t 0 "$id"
  is kept "$(b exec "$id" cat /root/f)"
  b rm -f "$id"
}

copied_at_the_start() { # nobody but the container has its directories mounted when it runs
  local round pids pid
  echo new >"$work/new"
  tar -C "$work" -c new >"$work/new.tar"
  for round in {1..8}; do
    create --name racing -v raced:/d box sleep 1000
    pids=()
    for _ in 1 2 3; do
      { for _ in {1..6}; do http HEAD '/containers/racing/archive?path=/etc/passwd' -I >/dev/null; done; } &
      pids+=($!)
      { for _ in {1..3}; do http PUT '/containers/racing/archive?path=/root' --data-binary "@$work/new.tar" >/dev/null; done; } &
      pids+=($!)
    done
    sleep "0.0$((RANDOM % 6))"
    b start racing
    for pid in "${pids[@]}"; do wait "$pid"; done
    b exec racing sh -ec 'chmod 600 /etc/passwd; rm /etc/group; mkdir /etc/made; echo x >/etc/made/f; mv /etc/made /etc/moved' ||
      { echo "broken in round $round"; return 1; }
    b rm -f racing
  done
  b volume rm raced
}

copied_slowly() { # a start waits for who writes, and a removal does not
  local begin copy start
  echo new >"$work/new"
  create --name slow box cat /root/new
  tar -C "$work" -c new >"$work/new.tar"
  { head -c 700 "$work/new.tar"; sleep 3; tail -c +701 "$work/new.tar"; } |
    curl -s -o /dev/null -w '%{http_code}' -T - --unix-socket "${BERTH_HOST#unix://}" \
      'http://engine/containers/slow/archive?path=/root' >"$work/status" &
  copy=$!
  sleep 1
  is new "$(b start -a slow)" "what a start sees of a slow copy"
  wait $copy
  is 200 "$(cat "$work/status")"
  mkfifo "$work/stalled"
  curl -s -o "$work/answer" -T - --unix-socket "${BERTH_HOST#unix://}" 'http://engine/containers/slow/archive?path=/root' \
    <"$work/stalled" &
  copy=$!
  exec 9>"$work/stalled"
  head -c 700 "$work/new.tar" >&9
  sleep 1
  refused 1 'while files are copied into it' b start slow
  is exited "$(b inspect -f '{{.State.Status}}' slow)"
  begin=$SECONDS
  b start slow >/dev/null 2>&1 &
  start=$!
  b rm -f slow
  fails wait $start
  at_most $((5 * slowness)) $((SECONDS - begin)) "seconds of a removal, and of a start that waits"
  tail -c +701 "$work/new.tar" >&9
  exec 9>&-
  wait $copy
  contains "$(cat "$work/answer")" 'is being removed'
}

subpath() {
  run --rm -v parts:/d box sh -c 'mkdir -p /d/s/t; echo sub >/d/s/t/f; echo alone >/d/file; ln -s s /d/inside'
  is sub "$(run --rm --mount type=volume,src=parts,dst=/x,volume-subpath=s/t box cat /x/f)"
  is sub "$(run --rm --mount type=volume,src=parts,dst=/x,volume-subpath=inside box cat /x/t/f)"
  is alone "$(run --rm --mount type=volume,src=parts,dst=/x,volume-subpath=file box cat /x)"
  refused 125 'nothing at its subpath' run --rm --mount type=volume,src=parts,dst=/x,volume-subpath=missing box true
  refused 125 'relative path within the volume' run --rm --mount type=volume,src=parts,dst=/x,volume-subpath=../../.. box true
  refused 125 'relative path within the volume' run --rm --mount type=volume,src=parts,dst=/x,volume-subpath=/etc box true
  b volume rm parts
}

told() { # events, and what is used of the disk
  local begin id
  begin=$(date +%s)
  b volume create told
  id=$(run -d -v told:/d box sh -c 'head -c 3000000 /dev/zero >/d/f; sleep 1000')
  eventually 10 eval "[ \"\$(stat -c %s $volumes/told/_data/f)\" = 3000000 ]"
  sync -f "$volumes"
  contains "$(b system df -v)" told
  [[ $(b system df -v | grep '^told ') =~ told\ +1\ +3(\.[0-9]+)?MB ]]
  b rm -f "$id"
  [[ $(b system df -v | grep '^told ') =~ told\ +0\ +3 ]]
  is 200 "$(http GET /system/df)"
  contains "$(cat "$work/answer")" '"RefCount":0'
  b volume rm told
  is "create mount unmount destroy" \
    "$(b events --since "$begin" --until "$(($(date +%s) + 1))" -f type=volume -f volume=told --format '{{.Action}}' | xargs)"
}

system_prune() {
  b volume create
  b volume create named
  b system prune -f
  is 2 "$(b volume ls -q | wc -l)"
  contains "$(b system prune -f --volumes)" "Deleted Volumes:"
  is named "$(names)"
  b volume rm named
}

swarm_only() {
  b volume create one-more
  is 503 "$(http_json PUT /volumes/one-more '{}')"
  is 503 "$(http_json POST /volumes/create '{"Name":"cluster","ClusterVolumeSpec":{}}')"
  is 400 "$(http GET '/volumes?filters=%7B%22colour%22%3A%5B%22red%22%5D%7D')"
  is 400 "$(http_json POST /volumes/create '{"Name":"../../etc"}')"
  is 404 "$(http DELETE '/volumes/..%2f..%2fcontainers')"
  is 404 "$(http GET /volumes/nobody)"
  b volume rm one-more
}

# --- what containers try ---

subpath_link() { # planted by a container that had the whole volume
  run --rm -v trap:/d box sh -c "ln -s $secret /d/absolute; ln -s ../../../../../../../..$secret /d/relative; ln -s .. /d/up"
  local name
  for name in absolute relative up; do
    refused 125 'leads out of volume trap' run --rm --mount "type=volume,src=trap,dst=/x,volume-subpath=$name" box sh -c 'echo attack >/x/file'
  done
  b volume rm trap
  untouched
}
subpath_swapped() { # while others start with it
  run -d --name swapper -v trap:/d box sh -c "mkdir /d/s; ln -s $secret /d/l; while :; do mv /d/s /d/x; mv /d/l /d/s; mv /d/s /d/l; mv /d/x /d/s; done"
  local _ inside=0
  for _ in {1..25}; do
    said=$(run --rm --mount type=volume,src=trap,dst=/x,volume-subpath=s box sh -c 'echo attack >/x/file; ls /x; cat /x/file' 2>&1) || true
    lacks "$said" 'secret of the host'
    [ "$said" != $'file\nattack' ] || inside=$((inside + 1))
  done
  untouched
  echo "$inside of 25 saw the directory"
  b rm -f swapper
  b volume rm trap
}
copy_up_raced() { # another container plants links in the volume that is being filled
  run -d --name planter -v raced:/d:nocopy box sh -c "while :; do ln -s $secret /d/deep 2>/dev/null; ln -s $secret/file /d/wide 2>/dev/null; rm -f /d/deep /d/wide; done"
  local _
  for _ in {1..10}; do run --rm -v raced:/srv/tree wide-image true >/dev/null 2>&1 || true; done
  b rm -f planter
  b volume rm raced
  untouched
}
removal_of_links_and_depth() {
  # Deeper than any path can be.
  # shellcheck disable=SC2016 # for the shell inside
  run --rm -v deep:/d box sh -ec "ln -s $secret /d/link; cd /d; "'p=$(yes d/ | head -n 1500 | tr -d "\n"); mkdir prev; for n in 1 2 3 4; do mkdir -p a/$p; mv prev a/${p}prev; mv a prev; done'
  b system df -v >/dev/null
  b volume rm deep
  eventually 20 eval "[ -z \"\$(ls -A $volumes/.removed)\" ]"
  untouched
}
names_stay_inside() {
  local name
  for name in .. . ../containers .removed /etc 'a/../../b' -rf; do
    exits 1 b volume create -- "$name"
    exits 1 b volume rm -- "$name"
    exits 125 run --rm -v "$name:relative" box true
  done
  is "" "$(names)"
  test -d "$work/main/data/containers"
}

# --- what a killed engine leaves ---

mounts_survive() {
  local pid
  b volume create -o type=tmpfs -o device=tmpfs -o o=size=1m kept
  b volume create -o type=tmpfs -o device=tmpfs -o o=size=1m dropped
  run -d --name stays -v kept:/d box sh -c 'echo in memory >/d/f; sleep 1000'
  run -d --name leaves -v dropped:/d box sleep 1000
  eventually 10 test -f "$volumes/kept/_data/f"
  pid=$(b inspect -f '{{.State.Pid}}' leaves)
  engine_kill
  kill -9 "$pid"
  engine_start main
  is "in memory" "$(b exec stays cat /d/f)"
  is "in memory" "$(run --rm -v kept:/d box cat /d/f)"
  eventually 10 not_mounted dropped
  mounted kept
  b rm -f stays leaves
  eventually 10 not_mounted kept
  b volume rm kept dropped
}
create_many() { # directory
  local n=0
  while b volume create --label "n=$n" -o type=tmpfs -o device=tmpfs -o "o=size=${n}k" "made-$n" >/dev/null 2>&1; do
    echo "made-$n $n" >>"$1/created"
    n=$((n + 1))
  done
}
remove_many() {
  local n=0
  while b volume create "gone-$n" >/dev/null 2>&1 && touch "$volumes/gone-$n/_data/file" && b volume rm "gone-$n" >/dev/null 2>&1; do
    echo "gone-$n" >>"$1/removed"
    n=$((n + 1))
  done
}
run_many() { while run --rm -v /data -v "$1-named:/n" box touch /data/file >/dev/null 2>&1; do :; done; }
create_anonymous_many() {
  local id
  while id=$(create -v /data box true 2>/dev/null) && b rm -v "$id" >/dev/null 2>&1; do :; done
}
no_anonymous() { [ -z "$(b volume ls -q | grep -E '^[0-9a-f]{64}$')" ]; }

killed_at_random() { # round
  local notes=$work/round.$1 name number worker workers=()
  mkdir "$notes"
  for worker in create_many remove_many "run_many r$1" create_anonymous_many; do
    # shellcheck disable=SC2086 # a name and its argument
    $worker $notes &
    workers+=($!)
  done
  eventually 20 test -s "$notes/created"
  eventually 20 test -s "$notes/removed"
  sleep "$((RANDOM % 500 * slowness))e-3"
  engine_kill
  wait "${workers[@]}" || true
  engine_start main
  b volume ls -q >"$notes/all"
  while read -r name number; do
    is "$number size=${number}k" "$(b volume inspect -f '{{.Labels.n}} {{.Options.o}}' "$name")" "$name"
  done <"$notes/created"
  while read -r name; do
    ! grep -qx "$name" "$notes/all" || { echo "$name had been removed, and is back"; return 1; }
    [ ! -e "$volumes/$name" ] || { echo "the directory of $name is back"; return 1; }
  done <"$notes/removed"
  b ps -aq | xargs -r timeout 60 berth rm -fv >/dev/null
  eventually 15 no_anonymous || { b volume ls; return 1; }
  b volume ls -q | xargs -r timeout 120 berth volume rm >/dev/null
  is "" "$(names)"
  eventually 10 eval "[ -z \"\$(ls -A $volumes | sed /removed/d)\" ]"
}

# --- a full disk ---

full_disk() {
  local data=$work/full/data status=0
  mkdir -p "$data"
  truncate -s 24M "$data.disk"
  mkfs.ext4 -q -F -m 0 "$data.disk" && mount -o loop "$data.disk" "$data" || skip "no loop device"
  rm -rf "$data/lost+found"
  engine_start full
  image_make
  tar -C "$work/large" -c . | b import - large >/dev/null
  b volume create -o type=tmpfs -o device=tmpfs -o o=size=64k tiny
  dd if=/dev/zero of="$data/filler" bs=64k count=$((($(df -k --output=avail "$data" | tail -n 1) - 2048) / 64)) 2>/dev/null
  said=$(run --rm -v target:/srv large /bin/busybox true 2>&1) || status=$?
  is 125 "$status" "exit status, with: $said"
  grep -qi 'space' <<<"$said"
  is "" "$(ls -A "$data/volumes/target/_data")" "what is left in the volume"
  refused 125 'space' run --rm -v tiny:/srv large /bin/busybox true
  b volume ls -q >/dev/null
  rm "$data/filler"
  run --rm -v target:/srv large /bin/busybox test -f /srv/large
  dd if=/dev/zero of="$data/filler" bs=64k 2>/dev/null || true
  b volume rm target tiny # what one does to get space back works without any
  is "" "$(names)"
  rm "$data/filler"
  engine_use main
}

mkdir -p "$secret" "$work/main"
echo "secret of the host" >"$secret/file"
engine_start main || exit 1
image_make
mkdir -p "$work/large/bin" "$work/large/srv"
cp /bin/busybox "$work/large/bin/"
head -c 4000000 /dev/urandom >"$work/large/srv/large"
(cd "$work/image" && mkdir -p srv/mine srv/tree/deep srv/tree/wide && chown 1000:1001 srv/mine && chmod 750 srv/mine)
for number in {1..200}; do echo "$number" >"$work/image/srv/tree/deep/$number"; done
tar -C "$work/image" -c . | b import -c 'CMD ["sh"]' - owned-image >/dev/null
tar -C "$work/image" -c . | b import -c 'CMD ["sh"]' - wide-image >/dev/null
tar -C "$work/image" -c . | b import -c 'CMD ["sh"]' -c 'VOLUME /var/image' - imaged >/dev/null
case_of "a volume is made, used, shown and removed" named
case_of "every form of -v and --mount" forms
case_of "an empty volume is filled with the image's files" copy_up
case_of "anonymous volumes go with their containers" anonymous
case_of "a volume in use stays" in_use
case_of "--volumes-from" volumes_from
case_of "inspect shows the mounts" inspected
case_of "options are mounted once, and unmounted after the last user" options
case_of "a restart keeps what it has taken" restarted
case_of "rm without -v keeps anonymous volumes" kept
case_of "cp sees mounts of what does not run" copied
case_of "cp of what a container has over /etc" copied_etc
case_of "--rm: cp before the start, and restarts" short_lived
case_of "cp while a container starts" copied_at_the_start
case_of "a slow cp, a start and a removal" copied_slowly
case_of "a part of a volume" subpath
case_of "events, and system df" told
case_of "system prune --volumes" system_prune
case_of "what only a swarm has, and what nobody has" swarm_only
case_of "a link in the place of a volume's part" subpath_link
case_of "a volume's part that is swapped for a link at the start" subpath_swapped
case_of "links that are planted while a volume is filled" copy_up_raced
case_of "removal of links and of great depth" removal_of_links_and_depth
case_of "names stay inside" names_stay_inside
case_of "mounts survive the engine, and go with the last container" mounts_survive
for round in $(seq "${ROUNDS:-5}"); do
  case_of "kill -9 at a random moment, round $round" killed_at_random "$round"
done
case_of "a full disk while a volume is filled" full_disk
engine_end main
engine_start main --storage-driver overlay || exit 1
tar -C "$work/image" -c ./bin ./root ./etc ./tmp ./proc ./sys ./dev ./var ./home | b import -c 'CMD ["sh"]' - box >/dev/null # other layers: these are directories
case_of "--rm: cp before the start, and restarts, with layers as directories" short_lived
case_of "cp while a container starts, with layers as directories" copied_at_the_start
finish
