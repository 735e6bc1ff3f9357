#!/usr/bin/env bash
# benches/webhooks/run.sh [PROGRAM]: how many 3 KB pushes a second this program takes (HMAC checked, on disk before the
# answer), beside Fastify with better-sqlite3, by turns in one run. PROGRAM: target/release/kiops. Node and npm are needed.
# ROUNDS (5), SECONDS_EACH (5), SENDERS (16) and MODULES may be set.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/../peers/prepare.sh"
# One core for the servers, another for who sends.
pin=() && [ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null && pin=(taskset -c 1)
PROGRAM=$program FOLDER=$temp ${pin[@]+"${pin[@]}"} node "$temp/bench.mjs"
