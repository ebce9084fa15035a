#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a Dockerfile's steps may ask for beyond a container's defaults: only what the client allows, of what the engine's
# configuration lets clients allow.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
export MOST_LINES=40 # of messages: progress and lines of the Dockerfile are among them

build() { b build -q -t out "$@" . >/dev/null; }
out() { b run --rm --network none out "$@"; }
refuses() { # words, option...
  exits 1 b build "${@:2}" . || return 1
  contains "$said" "$1"
}
capabilities='awk "/^CapEff/ {print \$2}" /proc/self/status'

insecure_is_as_privileged() {
  context <<D
FROM box
RUN --security=insecure $capabilities >/open && mount -t tmpfs x /mnt && touch /mnt/inside && awk '/^Seccomp:/ {print \$2}' /proc/self/status >/filter
RUN $capabilities >/closed && ! mount -t tmpfs x /mnt 2>/dev/null
RUN --security=sandbox $capabilities >/sandbox
D
  mkdir -p "$work/image/mnt" && image_make
  build --allow security.insecure
  is "$(b run --rm --privileged box sh -c "$capabilities")" "$(out cat /open)"
  is 0 "$(out cat /filter)"
  is "$(b run --rm box sh -c "$capabilities")" "$(out cat /closed)"
  is "$(out cat /closed)" "$(out cat /sandbox)"
  is "" "$(out ls /mnt)"
}

refused_without_the_clients_word() { # even if its result is in the cache, and if it comes from a base image
  context <<<$'FROM box\nRUN --security=insecure touch /x'
  refused 1 '--allow security.insecure' b build .
  refused 1 '--allow security.insecure' b build --allow network.host .
  build --allow security.insecure
  refused 1 '--allow security.insecure' b build .
  context <<<$'FROM box\nONBUILD RUN --security=insecure touch /y'
  b build -q -t trigger . >/dev/null
  context <<<'FROM trigger'
  refused 1 '--allow security.insecure' b build .
  b build -q --allow security.insecure . >/dev/null
}

refused_without_the_engines_word() {
  engine_use main
  context <<<$'FROM box\nRUN --security=insecure touch /x'
  refused 1 '--allow security.insecure' b build .
  refused 1 'daemon.json.*security-insecure' b build --allow security.insecure .
  local preamble='{"allow": ["security.insecure"]}'
  { printf '%s\n%s' ${#preamble} "$preamble"; tar c .; } >"$work/body"
  is 403 "$(http POST /build -H 'Content-Type: application/vnd.berth.build' --data-binary "@$work/body")"
  preamble='{"allow": ["everything"]}'
  { printf '%s\n%s' ${#preamble} "$preamble"; tar c .; } >"$work/body"
  is 400 "$(http POST /build -H 'Content-Type: application/vnd.berth.build' --data-binary "@$work/body")"
  refused 1 'network.host' b build --allow everything .
}

hosts_network() { # for the steps that ask for it
  context <<<$'FROM box\nRUN --network=host ls /sys/class/net >/host\nRUN ls /sys/class/net >/own'
  refuses '--allow network.host'
  build --allow network.host
  out grep -qx "$(cat "$work/open/bridge")" /host
  fails out grep -qx "$(cat "$work/open/bridge")" /own
}

hosts_network_forbidden() {
  engine_use main
  context <<<$'FROM box\nRUN --network=host true'
  refused 1 'daemon.json.*network-host' b build --allow network.host .
  refused 1 'daemon.json.*network-host' b build --network host .
}

devices() { # of this host, by their CDI names
  context <<'D'
FROM box
RUN --device=vendor.com/thing=one test -c /dev/thing && echo $THING >/name && stat -c '%t %T' /dev/thing >/kind && ! test -e /dev/second
RUN test ! -e /dev/thing && test -z "$THING" && touch /without
RUN --device=vendor.com/thing=none,required=false test ! -e /dev/thing && touch /optional
RUN --device=vendor.com/thing=open test -c /dev/open
D
  refuses '--allow device=vendor.com/thing=one'
  refuses '--allow device=vendor.com/thing=one' --allow device=vendor.com/thing=two
  build --allow device=vendor.com/thing=one
  is "THE-ONE 1 3" "$(out cat /name /kind | xargs)"
  refuses '--allow device=vendor.com/thing=one' # though its result is in the cache
  context <<<$'FROM box\nRUN --device=vendor.com/thing=none true'
  refuses 'no device vendor.com/thing=none' --allow device
  context <<<$'FROM box\nRUN --device=vendor.com/thing=mounting true'
  refuses 'needs mounts' --allow device
}

wrong_configuration() {
  echo '{"builder": {"entitlements": {"security-insecure": "yes"}}}' >"$work/wrong.json"
  refused 1 'builder.entitlements.security-insecure' timeout 10 berthd --data-root "$work/w" --exec-root "$work/w" --config-file "$work/wrong.json"
}

echo '{"builder": {"entitlements": {"network-host": false}}}' >"$work/main.json"
mkdir "$work/cdi"
cat >"$work/cdi/thing.json" <<'D'
{"cdiVersion": "0.6.0", "kind": "vendor.com/thing", "devices": [
  {"name": "one", "containerEdits": {"env": ["THING=THE-ONE"], "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/null"}]}},
  {"name": "two", "containerEdits": {"deviceNodes": [{"path": "/dev/second", "hostPath": "/dev/zero"}]}},
  {"name": "open", "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"},
   "containerEdits": {"deviceNodes": [{"path": "/dev/open", "hostPath": "/dev/zero"}]}},
  {"name": "mounting", "containerEdits": {"mounts": [{"hostPath": "/", "containerPath": "/host"}]}}]}
D
echo '{"builder": {"gc": {"enabled": true}, "entitlements": {"security-insecure": true}}}' >"$work/open.json"
engine_start main --config-file "$work/main.json" || exit 1
image_make
engine_start open --config-file "$work/open.json" --cdi-spec-dir "$work/cdi" || exit 1
image_make

case_of "an insecure step is as a privileged container, the next one is not" insecure_is_as_privileged
case_of "insecure steps are the client's to allow" refused_without_the_clients_word
case_of "insecure steps are the configuration's to permit" refused_without_the_engines_word
case_of "the host's network is for steps that ask for it" hosts_network
case_of "the host's network can be forbidden" hosts_network_forbidden
case_of "devices by their CDI names, for builds that may have them" devices
case_of "a wrong configuration is named" wrong_configuration
finish
