#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The load balancer as what installations have: a unit of systemd, under its user, with all that the unit forbids.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/vm" run --timeout 1800 --add "$here/../../dist=dist" "$here/inside/proxy-unit"
