#!/usr/bin/env bash
# Builds Loraptor and runs its tests.
#
#   ./test.sh                 everything
#   ./test.sh -L golden       only some: the arguments go to ctest (labels: unit golden grad parity format options
#                             resume fault e2e style)
#
# Another set of recorded numbers: LORAPTOR_GOLDEN=/path/to/golden ./test.sh -L golden
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh
cmake --preset release >/dev/null
cmake --build build/release
# Tests run side by side: a thread that waits must leave its core to the others.
export OMP_WAIT_POLICY=PASSIVE
ctest --test-dir build/release --output-on-failure --no-tests=error -j "$(nproc)" "$@"
