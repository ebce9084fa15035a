#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The acceptance of "run containers", on what users have: pure cgroup v2 under systemd, Debian 12's kernel.
#
#   tests/vm/02-run-in-vm.sh     ONLY='regex' and CLI=berth|docker reach the acceptance script
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
[ -d "$here/../../../shared/accept" ] || { echo "SKIP: the acceptance scripts are not here"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# An emulated processor is 10 to 20 times slower than the one that the checks' time limits were made for. Stretch
# those; what a check measures itself stays as it is.
cat >"$work/timeout" <<'END'
#!/bin/bash
# timeout(1), ten times as patient: timeout -k 5 SECONDS COMMAND...
if [ "$1" = -k ]; then shift 2; fi
seconds=$1
shift
exec /usr/bin/timeout -k 30 $((seconds * 10)) "$@"
END
printf '#!/bin/bash\nexport PATH=/berth/tools:$PATH\nexec /berth/accept/02-run.sh\n' >"$work/accept-02"
chmod +x "$work/timeout" "$work/accept-02"

"$here/vm" run --timeout 5400 --add "$work/timeout=tools/timeout" --env "ONLY=${ONLY:-}" --env "CLI=${CLI:-berth}" "$work/accept-02"
