#!/usr/bin/env bash
# benches/delivery/run.sh [PROGRAM]: what KIOPS adds to what it has the engine do: a build beside the same `docker build`,
# a deployment beside the same calls of the Docker API, by turns in one run; and how long after a push's webhook its
# pipeline is at work. PROGRAM: target/release/kiops. Node, git, busybox and, as root, a Docker engine are needed, which is
# started for the time of the run. ROUNDS (7) and PUSHES (40) may be set; nothing is left behind.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$(realpath "${1:-$here/../../target/release/kiops}")
[ -x "$program" ] || { echo "$program is not there: cargo build --release" >&2; exit 2; }
. "$here/../peers/client.sh"
temp=$(mktemp -d "${TMPDIR:-/tmp}/kiops-bench.XXXXXX")
trap 'rm -rf "$temp"' EXIT
export PROGRAM="$program" FOLDER="$temp"
KIOPS_TEST_REQUIRE=docker,git "$here/../../scripts/with-services.sh" node "$here/bench.mjs"
