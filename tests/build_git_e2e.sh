#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds from git repositories and ADD of them: what they bring, what is asked of a server again, and what hostile references,
# repositories and servers try.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
export MOST_LINES=40 # of messages: progress and lines of the Dockerfile are among them

command -v git >/dev/null || { echo "SKIP: there is no git"; exit 77; }
repositories=$work/repositories
export GIT_CONFIG_GLOBAL=$work/gitconfig GIT_CONFIG_NOSYSTEM=1
git config --file "$work/gitconfig" user.name test
git config --file "$work/gitconfig" user.email test@example.org
git config --file "$work/gitconfig" init.defaultBranch main
unset GIT_DIR
mkdir -p "$repositories" "$work/servers"

# --- servers and repositories ---

servers_start() {
  python3 tests/git_http_server.py "$repositories" "$work/servers/port" "$work/servers/log" >"$work/servers/http.log" 2>&1 &
  echo $! >"$work/servers/http.pid"
  eventually 10 test -s "$work/servers/port"
  port=$(cat "$work/servers/port")
  web=http://127.0.0.1:$port
  git_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$(git --exec-path)/git-daemon" --listen=127.0.0.1 --port="$git_port" --reuseaddr --base-path="$repositories" --export-all \
    >"$work/servers/daemon.log" 2>&1 &
  echo $! >"$work/servers/daemon.pid"
  wire=git://127.0.0.1:$git_port
  eventually 10 bash -c ": <>/dev/tcp/127.0.0.1/$git_port" 2>/dev/null
}
servers_stop() {
  kill "$(cat "$work/servers/http.pid")" "$(cat "$work/servers/daemon.pid")" 2>/dev/null
  wait
}

in_repository() { git -C "$repositories/$1.git" "${@:2}"; }
new_repository() { # name: a working copy is in $work/copies
  mkdir -p "$work/copies"
  git init -q --bare "$repositories/$1.git"
  in_repository "$1" config uploadpack.allowAnySHA1InWant true
  git clone -q "$repositories/$1.git" "$work/copies/$1" 2>/dev/null
}
commit() { # name message: all that is in the working copy
  git -C "$work/copies/$1" add -A
  git -C "$work/copies/$1" commit -q -m "$2"
  git -C "$work/copies/$1" push -q origin HEAD 2>/dev/null
}
id_of() { in_repository "$1" rev-parse "${2:-main}"; }

build() { b build -q -t out "$@" >/dev/null; }
out() { b run --rm --network none out "$@"; }
# Also those that git has started: they know the server, and not the directory.
git_processes() {
  local process
  for process in /proc/[0-9]*; do
    case $(cat "$process/comm" 2>/dev/null) in git*) ;; *) continue ;; esac
    tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -cE "^$work/main/data/build/|^${web:-none}/|^git://127" >/dev/null || continue
    echo "${process#/proc/}"
  done
}
no_git() { [ -z "$(git_processes)" ]; }
some_git() { ! no_git; }
places() { find "$work/main/data/build/steps" "$work/main/data/build/contexts" -mindepth 1 -maxdepth 1; }
nothing_of_builds() { [ -z "$(places)" ] && no_git; }
# As eventually, and says what is still there.
eventually_nothing_of_builds() { # seconds
  eventually "$1" nothing_of_builds && return 0
  places
  local process
  for process in $(git_processes); do
    echo "$process: $(tr '\0' ' ' <"/proc/$process/cmdline") ($(cat "/proc/$process/wchan"))"
    ps -o pid,ppid,stat,etime,args --forest -g "$(ps -o sid= -p "$process")"
  done
  return 1
}

app_repository() {
  new_repository app
  local copy=$work/copies/app
  printf 'FROM box\nCOPY . /app\n' >"$copy/Dockerfile"
  mkdir "$copy/sub"
  printf 'FROM box\nCOPY f /f\n' >"$copy/sub/Dockerfile"
  printf 'FROM box\nRUN echo other >/f\n' >"$copy/sub/other"
  echo one >"$copy/f" && echo sub >"$copy/sub/f" && ln -s f "$copy/link"
  printf '#!/bin/sh\n' >"$copy/run" && chmod 755 "$copy/run"
  commit app one
  git -C "$copy" tag -a -m v1 v1 && git -C "$copy" tag light && git -C "$copy" push -q origin v1 light 2>/dev/null
  echo two >"$copy/f" && commit app two
}

# --- what people do ---

contexts() {
  local address
  for address in "$web/open/app.git" "$wire/app.git" "$web/open/app.git#main" "$web/open/app.git?ref=main"; do
    build "$address"
    is two "$(out cat /app/f)" "$address"
  done
  is "f 755" "$(out sh -c 'readlink /app/link; stat -c %a /app/run' | xargs)"
  fails out ls /app/.git
  for address in "$wire/app.git#v1" "$web/open/app.git#light" "$web/open/app.git?tag=v1" "$web/open/app.git#$(id_of app main~1)" \
    "$wire/app.git#refs/tags/v1" "$wire/app.git?checksum=$(id_of app 'v1^{}')&ref=v1"; do
    build "$address"
    is one "$(out cat /app/f)" "$address"
  done
  build "$web/open/app.git#main:sub"
  is sub "$(out cat /f)"
  build -f other "$web/open/app.git?subdir=sub"
  is other "$(out cat /f)"
  refused 1 'no branch, tag' b build "$web/open/app.git#nowhere"
  refused 1 'no directory' b build "$web/open/app.git#main:f"
  refused 1 'not [0-9a-f]{8}' b build "$web/open/app.git?checksum=00000000"
  refused 1 'http_server|not found|nothere|git:' b build "$web/open/nothere.git"
  refused 1 'Connection refused|unable to connect' b build git://127.0.0.1:1/x.git
  is 500 "$(http POST "/build?remote=$wire/nothere.git" | sed 's/4..\|503/500/')"
}

added() {
  context <<D
FROM box
ADD $web/open/app.git /whole
ADD $wire/app.git#v1:sub /sub
ADD --keep-git-dir=true $wire/app.git#v1 /kept
ADD --checksum=$(id_of app) --chown=7:8 --exclude=sub $web/open/app.git /owned
D
  build .
  is "two sub one two 7" "$(out sh -c 'cat /whole/f /sub/f /kept/f /owned/f; stat -c %u /owned/f' | xargs)"
  fails out ls /whole/.git
  fails out ls /owned/sub
  context <<D
FROM box
ADD --chown=7:8 $web/open/app.git /owned
D
  build . && out ls /owned/sub >/dev/null # what is left out is part of what a result is known by
  context <<D
FROM box
ADD --chown=7:8 --exclude=sub $web/open/app.git /owned
D
  build .
  fails out ls /owned/sub
  context <<D
FROM box
ADD --keep-git-dir=true $wire/app.git#v1 /kept
D
  build .
  is "$(id_of app 'v1^{}')" "$(out cat /kept/.git/HEAD)"
  contains "$(out cat /kept/.git/config)" "$wire/app.git"
  context <<D
FROM box
ADD --checksum=0000000 $web/open/app.git /x
D
  refused 1 'commit.*not 0000000' b build .
}

moved_branch() { # is fetched anew, one that has not moved is not
  new_repository moving
  echo 1 >"$work/copies/moving/f" && commit moving 1
  context <<D
FROM box
ADD $web/open/moving.git#main /m
D
  build . && is 1 "$(out cat /m/f)"
  : >"$work/servers/log"
  contains "$(b build . 2>&1)" CACHED
  is 2 "$(wc -l <"$work/servers/log")" "requests: what there is, and where the branch is"
  echo 2 >"$work/copies/moving/f" && commit moving 2
  build . && is 2 "$(out cat /m/f)"
}

submodules() {
  new_repository inner && echo inner >"$work/copies/inner/i" && commit inner 1
  new_repository middle
  printf '[submodule "i"]\n\tpath = deep/i\n\turl = ../inner.git\n' >"$work/copies/middle/.gitmodules"
  git -C "$work/copies/middle" update-index --add --cacheinfo "160000,$(id_of inner),deep/i"
  mkdir -p "$work/copies/middle/deep/i" && commit middle 1
  new_repository outer
  printf 'FROM box\nCOPY . /o\n' >"$work/copies/outer/Dockerfile"
  printf '[submodule "m"]\n\tpath = m\n\turl = %s\n' "$wire/middle.git" >"$work/copies/outer/.gitmodules"
  printf '[submodule "no"]\n\tpath = no\n\turl = ../none.git\n\tupdate = none\n' >>"$work/copies/outer/.gitmodules"
  git -C "$work/copies/outer" update-index --add --cacheinfo "160000,$(id_of middle),m"
  git -C "$work/copies/outer" update-index --add --cacheinfo "160000,$(id_of middle),no"
  mkdir -p "$work/copies/outer/m" "$work/copies/outer/no" && commit outer 1
  build "$web/open/outer.git"
  is inner "$(out cat /o/m/deep/i/i)"
  is "" "$(out find /o -name .git)"
  build "$web/open/outer.git?submodules=0"
  is "" "$(out ls /o/m)"
}

private_repositories() {
  local token=tok-4711-en
  echo "Authorization: Basic $(printf 'x-access-token:%s' $token | base64 -w0)" | sed 's/Authorization: //' >"$repositories/header"
  refused 1 'GIT_AUTH_TOKEN' b build "$web/private/app.git"
  GIT_AUTH_TOKEN=$token build --secret id=GIT_AUTH_TOKEN "$web/private/app.git"
  is two "$(out cat /app/f)"
  build "http://x-access-token:$token@127.0.0.1:$port/private/app.git"
  context <<D
FROM box
ADD $web/private/app.git#v1 /x
D
  refused 1 'GIT_AUTH_TOKEN' b build .
  GIT_AUTH_TOKEN=$token build --secret id=GIT_AUTH_TOKEN .
  is one "$(out cat /x/f)"
  echo "Bearer $token" >"$repositories/header"
  AUTH="Bearer $token" b build -q --no-cache -t out --secret id=GIT_AUTH_HEADER,env=AUTH . >/dev/null
  context <<<"FROM box
ADD http://x:$token@127.0.0.1:$port/private/app.git /x"
  refused 1 'history' b build .
  lacks "$(cat "$work/main/engine.log")" "$token"
}

# --- what is tried ---

hostile_references() { # as Docker's API gets them: the command line has its own look
  local reference
  for reference in 'git@-oProxyCommand=x:p' 'ssh://-oProxyCommand=x/p' "$web/open/app.git%23--upload-pack=x" "$web/open/app.git%23-x" \
    "$web/open/app.git%23main:../../../../etc" 'git://127.0.0.1/-p' "$web/open/app.git%23a%0ab" 'git://h/a%250ab' \
    "$web/open/app.git%3fupload-pack=x"; do
    is 400 "$(http POST "/build?remote=$reference")" "$reference"
  done
  for reference in 'ext::sh%20-c%20x' "file://$repositories/app.git" "$repositories/app.git" "fd::1"; do
    is 400 "$(http POST "/build?remote=$reference")" "$reference"
  done
  context <<<"FROM box
ADD git@-oProxyCommand=touch%20$work/hacked:p /x"
  refused 1 "git reference" b build .
  [ ! -e "$work/hacked" ]
}

linked_subdirectory() { # finds what lies at that place in the repository
  new_repository linked
  ln -s /etc "$work/copies/linked/etc" && ln -s ../../../../../../../.. "$work/copies/linked/up" && ln -s real "$work/copies/linked/inside"
  mkdir "$work/copies/linked/real" && echo real >"$work/copies/linked/real/f"
  commit linked 1
  context <<<"FROM box
ADD $web/open/linked.git#main:etc /x"
  refused 1 'no directory "etc"' b build .
  context <<<"FROM box
ADD $web/open/linked.git#main:up/etc /x"
  refused 1 'no directory|link' b build .
  context <<<"FROM box
ADD $web/open/linked.git#main:up /x
ADD $web/open/linked.git#main:inside /y"
  build .
  is "etc inside real up f" "$(out ls /x /y | grep -v : | xargs)"
  is real "$(out cat /y/f)"
}

submodules_elsewhere() { # over other transports, as options, into other places
  local address number=0
  mkdir -p "$work/secret" && git init -q "$work/secret" && echo secret >"$work/secret/s" && git -C "$work/secret" add s && git -C "$work/secret" commit -qm s
  for address in "-u$work/hacked" "ext::sh -c touch% $work/hacked" "file://$work/secret" "$work/secret" '../../../../secret' \
    'ssh://-oProxyCommand=touch% x/y' "$web/open/app.git#v1"; do
    number=$((number + 1))
    new_repository "evil$number"
    printf '[submodule "m"]\n\tpath = m\n\turl = "%s"\n\tupdate = !touch %s/hacked\n' "$address" "$work" \
      >"$work/copies/evil$number/.gitmodules"
    git -C "$work/copies/evil$number" update-index --add --cacheinfo "160000,$(git -C "$work/secret" rev-parse HEAD),m"
    mkdir "$work/copies/evil$number/m"
    printf 'FROM box\nCOPY . /x\n' >"$work/copies/evil$number/Dockerfile"
    commit "evil$number" 1
    exits 1 b build "$web/open/evil$number.git"
  done
  [ ! -e "$work/hacked" ]
  new_repository itself # a submodule that has itself: there is an end to it, or the server does not have the commit
  printf '[submodule "m"]\n\tpath = m\n\turl = ./\n' >"$work/copies/itself/.gitmodules"
  git -C "$work/copies/itself" update-index --add --cacheinfo "160000,$(id_of app),m"
  mkdir "$work/copies/itself/m" && commit itself 1
  refused 1 'submodule m' b build "$web/open/itself.git"
}

hostile_trees() {
  git init -q --bare "$repositories/objects.git"
  local blob link inner
  blob=$(echo '[core] fsmonitor = "touch '"$work"'/hacked"' | in_repository objects hash-object -w --stdin)
  link=$(printf '%s' "$work" | in_repository objects hash-object -w --stdin)
  inner=$(in_repository objects mktree <<<"100644 blob $blob"$'\t'config)
  local -A trees=(
    [dotgit]="040000 tree $inner"$'\t'.git
    [dotgitcase]="040000 tree $inner"$'\t'.GIT
    [dotdot]="040000 tree $inner"$'\t'..
    [twice]="120000 blob $link"$'\t'"x"$'\n'"040000 tree $inner"$'\t'"x"
    [modules]="120000 blob $link"$'\t'".gitmodules"
  )
  local name
  for name in "${!trees[@]}"; do
    cp -r "$repositories/objects.git" "$repositories/$name.git"
    local tree
    tree=$(in_repository "$name" mktree <<<"${trees[$name]}")
    in_repository "$name" update-ref refs/heads/main "$(in_repository "$name" commit-tree -m x "$tree")"
    context <<<"FROM box
ADD $web/open/$name.git /x"
    refused 1 'git' b build .
  done
  [ ! -e "$work/hacked" ]
}

bomb() { # a hundred million files of ten megabytes in a small repository
  git init -q --bare "$repositories/bomb.git"
  local object kind=blob mode=100644
  object=$(head -c 10000000 /dev/zero | in_repository bomb hash-object -w --stdin)
  for _ in 1 2 3 4 5 6 7 8; do
    object=$(for n in 0 1 2 3 4 5 6 7 8 9; do printf '%s %s %s\t%s\n' "$mode" "$kind" "$object" "$n"; done | in_repository bomb mktree)
    kind=tree mode=040000
  done
  in_repository bomb update-ref refs/heads/main "$(in_repository bomb commit-tree -m x "$object")"
  local begin=$SECONDS
  refused 1 'more than' b build "$wire/bomb.git"
  at_most 15 $((SECONDS - begin)) seconds
}

machine_configuration() { # of root, whose home the engine was started with: hooks and rewritten addresses
  build "$web/open/app.git"
  [ ! -e "$work/hooked" ]
}

redirected_token() { # a server sends what it is asked elsewhere
  build "$web/moved/app.git"
  : >"$work/servers/log"
  GIT_AUTH_TOKEN=tok-4711-en exits 1 b build --secret id=GIT_AUTH_TOKEN "$web/moved/app.git"
  is 0 "$(grep -vc "^$port " "$work/servers/log" || true)" "requests that went elsewhere"
}

not_in_argv() {
  GIT_AUTH_TOKEN=tok-4711-en berth build --secret id=GIT_AUTH_TOKEN "$web/silent/app.git" >/dev/null 2>&1 &
  local client=$!
  eventually 10 some_git
  sleep 0.5
  lacks "$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -a "$work/main" || true)" tok-4711
  # nor is there a capability that git could lose
  is 0000000000000000 "$(awk '/^CapEff/ {print $2}' "/proc/$(git_processes | head -n 1)/status")"
  kill -9 "$client"
  eventually_nothing_of_builds 5
}

named_context() {
  context <<<$'FROM box AS one\nCOPY --from=source /f /f\nFROM one\nRUN --mount=type=bind,from=source,target=/s cat /s/f >/g && ls -A /s >/all'
  local before address
  for address in "$web/open/app.git#main:sub" "$wire/app.git?subdir=sub"; do
    build --no-cache --build-context source="$address" .
    is "sub sub" "$(out cat /f /g | xargs)"
    is "Dockerfile f other" "$(out cat /all | sort | xargs)"
  done
  # It is fetched once, however many take from it.
  local asked=()
  for address in "$PWD" -; do
    before=$(wc -l <"$work/servers/log")
    b build -q --no-cache --build-context source="$web/open/app.git#v1:sub" "$address" <<<$'FROM box\nCOPY --from=source /f /f' >/dev/null
    asked+=($(($(wc -l <"$work/servers/log") - before)))
  done
  is "${asked[1]}" "${asked[0]}" "requests for two uses"
  refused 1 'the build context source' b build --build-context source="$web/open/nothere.git" .
  refused 1 'FROM takes an image' b build --build-context box="$web/open/app.git" .
  eventually_nothing_of_builds 15
}

# --- what ends in the middle ---

cancelled() {
  local kind
  context <<<"FROM box
ADD $web/silent/app.git /x"
  for kind in . "$web/silent/app.git" "git://127.0.0.1:$(cat "$work/servers/mute")/x.git"; do
    berth build "$kind" >/dev/null 2>&1 &
    local client=$!
    eventually 10 some_git
    kill -9 "$client"
    wait "$client" || true
    eventually_nothing_of_builds 3
  done
}

engine_dies() {
  berth build "$web/silent/app.git" >/dev/null 2>&1 &
  eventually 10 some_git
  kill -9 "$(engine_pid main)"
  eventually 5 no_git
  HOME=$work/home engine_start main
  eventually_nothing_of_builds 5
}

silent_server() {
  eventually 90 gone "$(cat "$work/silence.pid")"
  contains "$(cat "$work/silence")" 'nothing has come for 60 seconds'
}

mkdir -p "$work/home" "$work/hooks"
for hook in post-checkout reference-transaction post-index-change; do
  printf '#!/bin/sh\ntouch %s/hooked\n' "$work" >"$work/hooks/$hook" && chmod 755 "$work/hooks/$hook"
done
printf '[core]\n\thooksPath = %s\n[url "http://127.0.0.1:1/"]\n\tinsteadOf = http://\n' "$work/hooks" >"$work/home/.gitconfig"
servers_start
trap 'servers_stop; clean_up' EXIT
python3 -c '
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(50)
print(s.getsockname()[1], flush=True)
time.sleep(100000)' >"$work/servers/mute" &
mute=$!
(unset GIT_CONFIG_GLOBAL && HOME=$work/home engine_start main) || exit 1
engine_use main
image_make
(set -e; app_repository) || exit 1
eventually 5 test -s "$work/servers/mute"
silent="a server that goes silent is given up" # begun here, as it takes a minute
! [[ $silent =~ ${ONLY:-.} ]] || { LIMIT=120 b build "git://127.0.0.1:$(cat "$work/servers/mute")/x.git" >"$work/silence" 2>&1 || true; } &
echo $! >"$work/silence.pid"

case_of "a context from a repository: branches, tags, commits, subdirectories" contexts
case_of "ADD of a repository" added
case_of "a branch that has moved is fetched anew, another is not" moved_branch
case_of "submodules come with it" submodules
case_of "private repositories, by a secret" private_repositories
case_of "references that are options or lead elsewhere" hostile_references
case_of "a subdirectory that is a link leads nowhere" linked_subdirectory
case_of "submodules from this machine, by options, without an end" submodules_elsewhere
case_of "trees with names that no tree should have" hostile_trees
case_of "a repository that grows when it is unpacked" bomb
case_of "the machine's own configuration has no part in it" machine_configuration
case_of "a token goes to no other server" redirected_token
case_of "$silent" silent_server
# From here on nothing else fetches: these look at what builds leave behind.
case_of "a repository for --build-context" named_context
case_of "a token is in nobody's sight, and git has no capabilities" not_in_argv
case_of "a client that goes ends git" cancelled
case_of "an engine that dies leaves no git" engine_dies
kill "$mute"
servers_stop
remove_all
finish
