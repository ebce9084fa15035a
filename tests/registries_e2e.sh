#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An engine and its registries: credential helpers, proxies (CONNECT and absolute targets), mirrors that are right, lie or
# outlive the registry, and names that have moved.
# shellcheck disable=SC2154 # lib.sh assigns $work and others
source "$(dirname "$0")/lib.sh"
[ -x "$BERTH_BIN/berth-registry" ] || { echo "FAIL: there is no berth-registry in $BERTH_BIN"; exit 1; }
command -v python3 >/dev/null || { echo "SKIP: needs python3"; exit 77; }

# --- registries: all of one is below $work/<name>, where no engine of that name may be ---------------------------------

registry_start() { # name [more YAML] [within http]
  local attempt port
  mkdir -p "$work/$1"
  cat >"$work/$1/config.yml" <<YAML
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/$1/data}}
http: {addr: "127.0.0.1:${port_of[$1]:-0}", draintimeout: 1s${3:-}}
${2:-}
YAML
  setsid berth-registry serve "$work/$1/config.yml" >"$work/$1/log" 2>&1 </dev/null &
  echo $! >"$work/$1/registry.pid"
  disown $!
  for ((attempt = 0; attempt < 200 * slowness; attempt++)); do
    port=$(sed -n 's/.*(on port \([0-9]*\)).*/\1/p' "$work/$1/log" | tail -n 1)
    [ -z "$port" ] || break
    sleep 0.05
  done
  [ -n "$port" ] || { cat "$work/$1/log"; return 1; }
  port_of[$1]=$port
}
declare -A port_of
at() { echo "127.0.0.1:${port_of[$1]}"; } # name
end_of() { # name
  kill -TERM "$(cat "$work/$1/registry.pid")" 2>/dev/null || true
  eventually 20 gone "$(cat "$work/$1/registry.pid")"
}
end_registries() {
  local file
  for file in "$work"/*/registry.pid; do [ ! -f "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null; done
}
trap 'end_registries; clean_up' EXIT

push_as() { # name
  b tag box "$1"
  b push -q "$1" >/dev/null
  b rmi "$1" >/dev/null
}
pull_works() { # name
  b pull -q "$1" >/dev/null
  is hello "$(b run --rm --network none "$1" echo hello)"
  b rmi "$1" >/dev/null
}

# --- credential helpers -------------------------------------------------------------------------------------------------

helper_make() { # a keychain of one entry: $work/keychain/entry, and the calls beside it
  mkdir -p "$work/helpers" "$work/keychain"
  cat >"$work/helpers/docker-credential-e2e" <<HELPER
#!/bin/bash
echo "\$1" >>"$work/keychain/calls"
case \$1 in
  store) cat >"$work/keychain/entry" ;;
  erase) cat >/dev/null; rm -f "$work/keychain/entry" ;;
  get)
    if grep -qF "\"\$(cat)\"" "$work/keychain/entry" 2>/dev/null; then cat "$work/keychain/entry"; exit; fi
    echo "credentials not found in native keychain"
    exit 1
    ;;
esac
HELPER
  chmod +x "$work/helpers/docker-credential-e2e"
  printf '#!/bin/sh\necho "the keychain is locked"\nexit 1\n' >"$work/helpers/docker-credential-locked"
  chmod +x "$work/helpers/docker-credential-locked"
}
configure_client() { echo "$1" >"$work/config/config.json"; }
log_in() { printf %s "$2" | b login -u "$1" --password-stdin "$(at guarded)"; } # user password

helper_keeps_credentials() {
  local name
  name=$(at guarded)/h/box:1
  configure_client '{"credsStore": "e2e"}'
  b tag box "$name"
  refused 1 'login|unauthorized|authentication' b push -q "$name"
  exits 1 log_in alice wrong
  [ ! -e "$work/keychain/entry" ] || { echo "wrong credentials were stored"; return 1; }
  contains "$(log_in alice secret 2>&1)" 'Login Succeeded'
  contains "$(cat "$work/keychain/entry")" '"alice"'
  lacks "$(cat "$work/config/config.json")" auth
  b push -q "$name" >/dev/null
  b rmi "$name" >/dev/null
  pull_works "$name"
  contains "$(b manifest inspect "$name")" '"layers"'
  b logout "$(at guarded)" >/dev/null
  contains "$(cat "$work/keychain/calls")" erase
  refused 1 'login|unauthorized|denied' b pull -q "$name"
}
helper_of_one_registry() { # wins over the one for all, which is not asked
  configure_client "{\"credsStore\": \"locked\", \"credHelpers\": {\"$(at guarded)\": \"e2e\"}}"
  contains "$(log_in alice secret 2>&1)" 'Login Succeeded'
  pull_works "$(at guarded)/h/box:1"
  refused 1 'docker-credential-locked get: the keychain is locked' b pull -q "$(at hub)/t/box:1"
}
helper_that_fails() {
  configure_client '{"credsStore": "locked"}'
  refused 1 'docker-credential-locked get: the keychain is locked' b pull -q "$(at guarded)/h/box:1"
  configure_client '{"credsStore": "nosuch"}'
  refused 1 'docker-credential-nosuch .*cannot be run' b pull -q "$(at guarded)/h/box:1"
  configure_client '{"credsStore": "../../bin/sh"}'
  refused 1 'no name of a credential helper' b pull -q "$(at guarded)/h/box:1"
}

# --- a proxy ----------------------------------------------------------------------------------------------------------------

# It wants user:p@ss, knows registry.test:443 and plain.test:80, and notes what it is asked: $work/proxy/asked.
proxy_start() {
  mkdir -p "$work/proxy"
  python3 - "$work/proxy" "${port_of[tls]}" "${port_of[hub]}" <<'PY' &
import base64, os, socket, sys, threading
top, tls, plain = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
places = {"registry.test:443": tls, "plain.test:80": plain}
key = "basic " + base64.b64encode(b"user:p@ss").decode()
def pump(source, sink):
    try:
        while data := source.recv(65536): sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError: pass
def serve(client):
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more: return
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *fields = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    known = any(field.lower() == "proxy-authorization: " + key.lower() for field in fields)
    with open(top + "/asked", "a") as file: file.write(f"{method} {target} {'known' if known else 'unknown'}\n")
    def refuse(status): client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()); client.close()
    if not known: return refuse("407 Proxy Authentication Required")
    if method == "CONNECT": host = target
    else:
        host, path = target.removeprefix("http://").split("/", 1)
        host += "" if ":" in host else ":80"
    if host not in places: return refuse("403 Forbidden")
    server = socket.create_connection(("127.0.0.1", places[host]))
    if method == "CONNECT": client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        kept = [field for field in fields if not field.lower().startswith(("proxy-", "connection:"))]
        server.sendall("\r\n".join([f"{method} /{path} {version}", *kept, "Connection: close", "", ""]).encode("latin-1"))
    server.sendall(rest)
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
open(top + "/port.new", "w").write(str(listener.getsockname()[1]))
os.rename(top + "/port.new", top + "/port")
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PY
  echo $! >"$work/proxy/registry.pid"
  disown $!
  eventually 10 test -s "$work/proxy/port"
}
proxied_engine() { # user:password, percent-encoded
  local proxy
  proxy=http://$1@127.0.0.1:$(cat "$work/proxy/port")
  engine_start proxied --insecure-registry registry.test --insecure-registry plain.test \
    --https-proxy "$proxy" --http-proxy "$proxy"
}
asked() { cat "$work/proxy/asked" 2>/dev/null || true; }
through_connect() {
  push_as registry.test/p/box:1
  pull_works registry.test/p/box:1
  contains "$(asked)" 'CONNECT registry.test:443 known'
  lacks "$(asked)" http://registry.test # once there is TLS, nothing goes without
  lacks "$(asked)" unknown
  is 200 "$(curl -sk -o /dev/null -w '%{http_code}' "https://$(at tls)/v2/p/box/manifests/1")"
}
through_absolute_targets() {
  pull_works plain.test/t/box:1
  contains "$(asked)" 'GET http://plain.test/v2/t/box/manifests/1 known'
  lacks "$(asked)" unknown
}
not_for_loopback() {
  : >"$work/proxy/asked"
  pull_works "$(at hub)/t/box:1"
  is "" "$(asked)"
}
proxy_refuses() {
  refused 1 'proxy 127.0.0.1:[0-9]+ refuses to connect to nowhere.test:443: 403' b pull -q nowhere.test/t/box:1
  engine_end proxied
  proxied_engine user:mistaken
  refused 1 'refuses to connect to registry.test:443: 407|answers 407' b pull -q registry.test/p/box:1
  lacks "$said" mistaken
}

# --- mirrors ----------------------------------------------------------------------------------------------------------------

mirror_blobs() { find "$work/mirror/data/blobs/sha256" -type f -size +100k; }
mirrored() { # the tags are the registry's, the rest comes from the mirror
  engine_use mirrored
  is "" "$(mirror_blobs)" "blobs of a mirror that nobody asked"
  b pull -q -a "$(at hub)/t/box" >/dev/null
  is "1 2" "$(b images --format '{{.Tag}}' "$(at hub)/t/box" | sort | xargs)"
  is 1 "$(mirror_blobs | wc -l)" "layers that the mirror got"
  is hello "$(b run --rm --network none "$(at hub)/t/box:2" echo hello)"
  is "$(curl -s "http://$(at hub)/v2/t/box/manifests/1")" "$(b manifest inspect "$(at hub)/t/box:1")"
  b images -q "$(at hub)/t/box" | sort -u | xargs timeout 60 berth rmi -f >/dev/null
}
mirror_lies() { # in one byte of what it keeps
  local blob
  engine_use mirrored
  blob=$(mirror_blobs)
  cp "$blob" "$work/right"
  printf '\377\0\377\0' | dd of="$blob" bs=1 seek=50000 conv=notrunc status=none
  ! cmp -s "$blob" "$work/right" || { echo "the blob is the same"; return 1; }
  pull_works "$(at hub)/t/box:1"
  contains "$(cat "$work/mirrored/engine.log")" "asking again, $(at hub)"
  cp "$work/right" "$blob"
}
moved() {
  engine_use mirrored
  b pull -q -a moved.test/box >/dev/null
  is "1 2" "$(b images --format '{{.Tag}}' moved.test/box | sort | xargs)"
  is "$(curl -s "http://$(at hub)/v2/t/box/manifests/2")" "$(b manifest inspect moved.test/box:2)"
  b images -q moved.test/box | sort -u | xargs timeout 60 berth rmi -f >/dev/null
}
outlived() { # with the registry away, what the mirror has is to be had; lists and questions are the registry's alone
  engine_use mirrored
  end_of hub
  pull_works "$(at hub)/t/box:1"
  refused 1 "connect to $(at hub)" b pull -q -a "$(at hub)/t/box"
  refused 1 "connect to $(at hub)" b manifest inspect "$(at hub)/t/box:1"
}

registry_start hub || { echo "FAIL: a registry does not start"; exit 1; }
engine_start main
image_make box
case_of "a push, for what follows" push_as "$(at hub)/t/box:1"
case_of "a second tag" push_as "$(at hub)/t/box:2"

if command -v htpasswd >/dev/null; then
  htpasswd -Bbn -C 5 alice secret >"$work/passwords"
  registry_start guarded "auth: {htpasswd: {realm: r, path: $work/passwords}}"
  helper_make
  PATH=$work/helpers:$PATH
  case_of "a credential helper keeps what login learns, and gives it to push and pull" helper_keeps_credentials
  case_of "a registry's own helper wins" helper_of_one_registry
  case_of "helpers that fail, lack or are no names are named" helper_that_fails
  rm -f "$work/config/config.json"
fi

mkdir "$work/tls"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=registry.test \
  -keyout "$work/tls/key.pem" -out "$work/tls/cert.pem" 2>/dev/null
registry_start tls "" ", tls: {certificate: $work/tls/cert.pem, key: $work/tls/key.pem}"
proxy_start
proxied_engine user:p%40ss
image_make box
case_of "TLS goes through a proxy by CONNECT" through_connect
case_of "plain HTTP goes through a proxy by absolute targets" through_absolute_targets
case_of "loopback goes by the proxy" not_for_loopback
case_of "a proxy's refusal is said, without its password" proxy_refuses

registry_start mirror "proxy: {remoteurl: \"http://$(at hub)\"}"
cat >"$work/daemon.json" <<JSON
{"registries": {"$(at hub)": {"mirrors": ["http://$(at mirror)"]}, "moved.test": {"location": "$(at hub)/t", "insecure": true}}}
JSON
engine_start mirrored --config-file "$work/daemon.json"
case_of "pull -a and manifest inspect with a mirror" mirrored
case_of "a mirror that lies is passed over" mirror_lies
case_of "names that have moved" moved
case_of "a mirror outlives its registry" outlived
end_registries
finish
