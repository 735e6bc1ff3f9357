#!/usr/bin/env bash
# benches/webhooks/run.sh [PROGRAM]: how many 3 KB pushes a second this program takes (HMAC checked, on disk before the
# answer), beside Fastify with better-sqlite3, by turns in one run. PROGRAM: target/release/kiops. Node and npm are needed.
# ROUNDS (5), SECONDS_EACH (5) and SENDERS (16) may be set, and MODULES, a folder whose node_modules has fastify and
# better-sqlite3 already; else they are installed for the time of the run, which may have to compile for minutes. Nothing
# is left behind.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$(realpath "${1:-$here/../../target/release/kiops}")
[ -x "$program" ] || { echo "$program is not there: cargo build --release" >&2; exit 2; }
temp=$(mktemp -d "${TMPDIR:-/tmp}/kiops-bench.XXXXXX")
trap 'rm -rf "$temp"' EXIT
cp "$here"/*.mjs "$temp"
if [ -n "${MODULES:-}" ]; then
    ln -s "$(realpath "$MODULES")/node_modules" "$temp/node_modules"
else
    # better-sqlite3 may have to be compiled, for which Debian has the headers here.
    [ ! -e /usr/include/node/node.h ] || export npm_config_nodedir=/usr
    (cd "$temp" && npm install --silent --no-save --no-audit --no-fund fastify@5 better-sqlite3@12 >&2)
fi
# One core for the servers, another for who sends.
pin=() && [ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null && pin=(taskset -c 1)
PROGRAM=$program FOLDER=$temp ${pin[@]+"${pin[@]}"} node "$temp/bench.mjs"
