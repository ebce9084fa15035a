#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --mount=type=ssh and git over ssh: steps ask the client's agent for signatures, and can do nothing else to it.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
export MOST_LINES=40 # of messages: progress and lines of the Dockerfile are among them

command -v ssh-agent >/dev/null || { echo "SKIP: there is no ssh-agent"; exit 77; }
unset SSH_AUTH_SOCK
agent=$work/agent.sock

keyed_context() { # a Dockerfile from standard input
  context
  cp "$work/key.pub" .
}
build() { b build -q -t out "$@" . >/dev/null; }
out() { b run --rm --network none out "$@"; }
keys() { SSH_AUTH_SOCK=$agent ssh-add -l; }
places() { find "$work/main/data/build/steps" "$work/main/data/build/contexts" -mindepth 1; }
nothing_of_builds() { [ -z "$(places)" ]; }

agent_start() {
  ssh-keygen -q -t ed25519 -N '' -f "$work/key" -C test
  ssh-keygen -q -t ed25519 -N '' -f "$work/other" -C other
  ssh-agent -D -a "$agent" >/dev/null 2>&1 &
  echo $! >"$work/agent.pid"
  eventually 10 test -S "$agent"
  SSH_AUTH_SOCK=$agent ssh-add -q "$work/key"
}

tools_image() { # the box with ssh-add and what it is linked with
  mkdir -p "$work/tools"
  local file
  for file in $(command -v ssh-add) $(ldd "$(command -v ssh-add)" | grep -o '/[^ ]*'); do
    cp -L --parents "$file" "$work/tools/"
  done
  cp -a "$work/image/." "$work/tools/" 2>/dev/null || true
  tar -C "$work/tools" -c . | b import - tools >/dev/null
}

signs() {
  keyed_context <<'D'
FROM tools
COPY key.pub /k.pub
RUN --mount=type=ssh ssh-add -l >/keys && ssh-add -T /k.pub && echo $SSH_AUTH_SOCK >/place && stat -c '%F %a %u' $SSH_AUTH_SOCK >/kind
RUN test -z "$SSH_AUTH_SOCK" && test ! -e /run/buildkit/ssh_agent.0
D
  build --ssh "default=$agent"
  is "$(keys)" "$(out cat /keys)"
  is /run/buildkit/ssh_agent.0 "$(out cat /place)"
  is "socket 600 0" "$(out cat /kind)"
  fails out ls /run/buildkit
  SSH_AUTH_SOCK=$agent build --no-cache --ssh default
}

several_agents() {
  keyed_context <<'D'
FROM tools
RUN --mount=type=ssh,id=a --mount=type=ssh,id=none --mount=type=ssh,id=b,target=/b.sock,mode=0666,uid=7 \
    SSH_AUTH_SOCK=/b.sock ssh-add -l >/keys && stat -c '%a %u' /b.sock >/kind && echo $SSH_AUTH_SOCK >/place
D
  build --ssh "a=$agent" --ssh "b=$agent"
  is "$(keys)" "$(out cat /keys)"
  is "666 7" "$(out cat /kind)"
  is /run/buildkit/ssh_agent.0 "$(out cat /place)"
}

missing() {
  keyed_context <<<$'FROM box\nRUN --mount=type=ssh,id=k,required=true true'
  refused 1 'agent k is required.*--ssh k' b build .
  keyed_context <<<$'FROM box\nRUN --mount=type=ssh test -z "$SSH_AUTH_SOCK"'
  build
  refused 1 'SSH_AUTH_SOCK is not set' b build --ssh default .
  refused 1 'neither an agent.s socket nor' b build --ssh "default=$work" .
  refused 1 'no such file' b build --ssh "default=$work/nowhere" .
  refused 1 'twice' b build --ssh "default=$agent" --ssh "default=$agent" .
}

# Keys in files: an agent of the command's own, below $TMPDIR.
own_agents() { { grep -lzs "^$TMPDIR/berth-ssh" /proc/[0-9]*/cmdline || true; } | wc -l; }
no_own_agents() { is 0 "$(own_agents)" && is "" "$(find "$TMPDIR" -mindepth 1)"; }
key_files() {
  mkdir -p "$work/temporary" && export TMPDIR=$work/temporary
  keyed_context <<'D'
FROM tools
COPY key.pub /k.pub
RUN --mount=type=ssh ssh-add -l >/keys && ssh-add -T /k.pub
RUN --mount=type=ssh,id=two ssh-add -l >/two
RUN --mount=type=ssh chmod 600 /other; ssh-add -D; ssh-add -x </dev/null; ssh-add -l >/after
D
  chmod 644 "$work/key" # who may read it is the user's business
  build --ssh "default=$work/key" --ssh "two=$work/key,$work/other"
  is "$(keys)" "$(out cat /keys)"
  is "$(keys)" "$(out cat /after)"
  is 2 "$(out cat /two | wc -l)"
  no_own_agents
  # Nor is what is secret of them anywhere.
  local secret
  secret=$(sed -n 3p "$work/key")
  [ ${#secret} -gt 40 ] || return 1
  b save -o "$work/saved.tar" out
  fails grep -aF "$secret" "$work/saved.tar"
  fails grep -raF "$secret" "$work/main" --include=engine.log --include='meta.db*'
  rm "$work/saved.tar"
  (unset TMPDIR && build --no-cache --ssh default=<(cat "$work/key") --ssh "two=$work/key")
  local long
  long=$work/temporary/$(printf 'x%.0s' {1..100})
  mkdir "$long" && TMPDIR=$long build --no-cache --ssh "default=$work/key" --ssh two="$work/key" && rmdir "$long"
}
key_files_refused() {
  mkdir -p "$work/temporary" "$work/empty" && export TMPDIR=$work/temporary
  keyed_context <<<$'FROM tools\nRUN --mount=type=ssh ssh-add -l >/keys'
  local kind
  for kind in RFC4716 PEM PKCS8; do
    rm -f "$work/closed" && ssh-keygen -q -t rsa -b 2048 -m "$kind" -N secret-word -f "$work/closed"
    MOST_LINES=1 refused 1 'closed has a passphrase.*ssh-add' b build --ssh "default=$work/closed" .
  done
  MOST_LINES=1 refused 1 'key.pub is neither' b build --ssh "default=$work/key.pub" .
  MOST_LINES=1 refused 1 'nowhere.*no such file' b build --ssh "default=$work/key,$work/nowhere" .
  MOST_LINES=1 refused 1 'only one' b build --ssh "default=$work/key,$agent" .
  MOST_LINES=1 refused 1 'needs? the program ssh-agent' env PATH="$work/empty" "$BERTH_BIN/berth" build --ssh "default=$work/key" .
  head -c 100000 /dev/zero >"$work/large"
  MOST_LINES=1 refused 1 'large.*32768 bytes' b build --ssh "default=$work/large" .
  BERTH_HOST=tcp://127.0.0.1:9 refused 1 'own socket|connect' b build --ssh "default=$work/key" .
  no_own_agents
}
key_files_go_with_the_client() { # whatever ends it
  mkdir -p "$work/temporary" && export TMPDIR=$work/temporary
  keyed_context <<<$'FROM box\nRUN --mount=type=ssh sleep 4713'
  local signal client
  for signal in INT TERM HUP KILL; do
    # The signal is ignored by what a script starts in the background.
    env --default-signal=INT "$BERTH_BIN/berth" build --no-cache --ssh "default=$work/key" . >/dev/null 2>&1 &
    client=$!
    eventually 10 pgrep -f 'sleep 4713' >/dev/null
    is 1 "$(own_agents)"
    is "" "$(find "$TMPDIR" -mindepth 1)"
    kill -"$signal" "$client"
    wait "$client" || true
    eventually 5 no_own_agents
    eventually 5 nothing_of_builds
  done
}

changes_nothing() {
  before=$(keys)
  keyed_context <<'D'
FROM tools
COPY other /other
RUN --mount=type=ssh chmod 600 /other; ssh-add /other; ssh-add -D; ssh-add -x </dev/null; ssh-add -l >/keys
D
  cp "$work/other" .
  build --ssh "default=$agent"
  is "$before" "$(keys)"
  is "$before" "$(out cat /keys)"
}

somebody_elses_agent() { # a client that could not connect to the socket does not get the engine to do it
  keyed_context <<<$'FROM tools\nRUN --mount=type=ssh ssh-add -l >/keys 2>&1 || true'
  chmod 711 "$work" && chmod 600 "$agent" && chmod 666 "$work/main/berth.sock" && chmod 755 "$work/main" . && mkdir -p "$work/nobody" && chmod 777 "$work/nobody"
  BERTH_CONFIG=$work/nobody DOCKER_CONFIG=$work/nobody \
    timeout 60 setpriv --reuid 65534 --regid 65534 --clear-groups "$BERTH_BIN/berth" build -q -t out --no-cache --ssh "default=$agent" . >/dev/null
  lacks "$(out cat /keys)" SHA256
}

left_behind() {
  keyed_context <<<$'FROM box\nRUN --mount=type=ssh sleep 4712'
  berth build --ssh "default=$agent" . >/dev/null 2>&1 &
  local client=$!
  eventually 10 pgrep -f 'sleep 4712' >/dev/null
  kill -9 "$client"
  wait "$client" || true
  eventually 5 nothing_of_builds
}

git_over_ssh() { # by a program of ours in the place of ssh
  git init -q --bare "$work/app.git"
  git clone -q "$work/app.git" "$work/app" 2>/dev/null
  printf 'FROM box\nCOPY f /f\n' >"$work/app/Dockerfile" && echo app >"$work/app/f"
  git -C "$work/app" add . && git -C "$work/app" -c user.name=t -c user.email=t@t commit -qm 1 && git -C "$work/app" push -q origin HEAD:refs/heads/main 2>/dev/null
  git -C "$work/app.git" symbolic-ref HEAD refs/heads/main
  local address
  for address in "git@example.org:$work/app.git" "ssh://git@example.org:2222$work/app.git#main"; do
    rm -f "$work/ssh.log" "$work/ssh.keys"
    b build -q -t out --ssh "default=$agent" "$address" >/dev/null
    is app "$(out cat /f)"
    contains "$(cat "$work/ssh.log")" "git@example.org git-upload-pack '$work/app.git'"
    contains "$(cat "$work/ssh.log")" '-F /dev/null'
    contains "$(cat "$work/ssh.log")" IdentityFile=none
    contains "$(cat "$work/ssh.keys")" "$(keys)"
  done
  b build -q -t out "git@example.org:$work/app.git" >/dev/null
  is none "$(tail -n 1 "$work/ssh.keys")"
  exits 1 b build 'git@-oProxyCommand=x:p'
}

mkdir -p "$work/bin"
cat >"$work/bin/ssh" <<D
#!/bin/sh
echo "\$@" >>$work/ssh.log
{ [ -z "\$SSH_AUTH_SOCK" ] && echo none || ssh-add -l; } >>$work/ssh.keys 2>&1
for last; do :; done
eval "exec \$last"
D
chmod 755 "$work/bin/ssh"
agent_start
trap 'kill "$(cat "$work/agent.pid")" 2>/dev/null; clean_up' EXIT
(PATH=$work/bin:$PATH engine_start main) || exit 1
engine_use main
image_make
tools_image

case_of "steps have things signed by the client's agent" signs
case_of "several agents, each in its place" several_agents
case_of "an agent that was not given, and what is none" missing
case_of "keys in files have an agent for the time of the build" key_files
case_of "files that are no keys, or that cannot be used" key_files_refused
case_of "the agent of key files ends with the client, by any signal" key_files_go_with_the_client
case_of "steps change nothing of the agent" changes_nothing
case_of "an agent that is not the client's" somebody_elses_agent
case_of "a client that goes leaves no socket" left_behind
case_of "repositories behind ssh, with the agent and without root's keys" git_over_ssh
kill "$(cat "$work/agent.pid")"
finish
