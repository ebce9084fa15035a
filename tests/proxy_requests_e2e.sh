#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Requests and answers, good and bad, through berth-proxy between a client and a backend that both read strictly. What
# comes out of each is written in tests/proxy_requests/cases; run.py runs them and prints the sum. It needs neither an
# engine nor root.
#
#   ONLY=REGEX tests/proxy_requests_e2e.sh    the cases whose titles match
set -euo pipefail
cd "$(dirname "$0")/.."
export BERTH_BIN=${BERTH_BIN:-$PWD/build/release/bin} PYTHONDONTWRITEBYTECODE=1
[ -x "$BERTH_BIN/berth-proxy" ] || { echo "FAIL: there is no berth-proxy in $BERTH_BIN"; exit 1; }
exec python3 tests/proxy_requests/run.py
