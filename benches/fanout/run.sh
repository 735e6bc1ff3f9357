#!/usr/bin/env bash
# benches/fanout/run.sh [PROGRAM]: one log that 500 follow over WebSocket, beside graphql-ws, by turns in one run, one core for
# the servers and another for who follows (`burst`); then a real test that prints 1,000 lines a second for a minute, by turns
# without and with somebody beside them who never reads (`minute`, for which a Docker engine is started, as root, and a Docker
# client is needed that builds with BuildKit). PROGRAM: target/release/kiops; who follows is the program `listen` beside it.
# Node, npm and git are needed. ROUNDS (3), LINES (2000), FOLLOWERS (500), SECONDS (60), RATE (1000), MINUTES (3),
# ONLY (burst,minute) and MODULES may be set.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/../peers/prepare.sh"
export LISTEN="$(dirname "$program")/listen" PROGRAM="$program" FOLDER="$temp" KIOPS_LOG=info
[ -x "$LISTEN" ] || { echo "$LISTEN is not there: cargo build --release --package peers" >&2; exit 2; }
ulimit -n "$(ulimit -Hn)"
case ${ONLY:-burst,minute} in *burst*) node "$temp/bench.mjs" ;; esac
case ${ONLY:-burst,minute} in *minute*)
    . "$here/../peers/client.sh"
    KIOPS_TEST_REQUIRE=docker,git "$here/../../scripts/with-services.sh" node "$temp/minute.mjs"
esac
