#!/usr/bin/env bash
# benches/hostile/run.sh [PROGRAM]: what documents, bodies and sockets of hostile callers get, what they cost in CPU beside
# `{ __typename }`, and what a small query's p99 is meanwhile. PROGRAM: target/release/kiops. Node and npm are needed.
# SECONDS_EACH (5), SOCKETS (10000) and MODULES may be set.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/../peers/prepare.sh"
ulimit -n "$(ulimit -Hn)"
PROGRAM=$program FOLDER=$temp node "$temp/bench.mjs"
