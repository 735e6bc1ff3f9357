#!/usr/bin/env bash
# benches/list/run.sh [PROGRAM]: the first 100 of 1,000 services with four relations, as the program serves them to somebody
# who is logged in, beside mercurius (with its JIT and better-sqlite3) and a bare axum handler, all over the same SQLite file,
# by turns in one run. PROGRAM: target/release/kiops; the handler is the program `bare` beside it. Node, npm and wrk are
# needed. ROUNDS (5), SECONDS_EACH (3), SERVICES (1000) and CORES (1: one for each server, another for who asks; 2: all share
# both) may be set, and MODULES, a folder with node_modules as benches/peers/package.json wants them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/../peers/prepare.sh"
BARE=${BARE:-$(dirname "$program")/bare}
[ -x "$BARE" ] || { echo "$BARE is not there: cargo build --release --package peers" >&2; exit 2; }
command -v wrk >/dev/null || { echo "wrk is not there" >&2; exit 2; }
BARE=$BARE PROGRAM=$program FOLDER=$temp node "$temp/bench.mjs"
