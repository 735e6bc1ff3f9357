#!/usr/bin/env bash
# benches/rest/run.sh [PROGRAM]: memory at rest and the time from a server's start to its first answer, beside mercurius, by
# turns in one run. PROGRAM: target/release/kiops. Node and npm are needed. ROUNDS (7) and MODULES may be set.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/../peers/prepare.sh"
PROGRAM=$program FOLDER=$temp node "$temp/bench.mjs"
