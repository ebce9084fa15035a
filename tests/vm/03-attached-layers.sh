#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Layers as EROFS images on Linux 6.12, whose overlayfs takes attached mounts alone.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
export BERTH_VM_KERNEL=backports
exec "$here/vm" run --timeout 1800 "$here/inside/attached-layers"
