#!/usr/bin/env bash
# benches/delivery/run.sh [PROGRAM]: what KIOPS adds to what it has the engine do: a build beside the same `docker build`,
# a deployment beside the same calls of the Docker API, by turns in one run; and how long after a push's webhook its
# pipeline is at work. PROGRAM: target/release/kiops. Node, git, busybox and, as root, a Docker engine are needed, which is
# started for the time of the run. ROUNDS (7) and PUSHES (40) may be set; nothing is left behind.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$(realpath "${1:-$here/../../target/release/kiops}")
[ -x "$program" ] || { echo "$program is not there: cargo build --release" >&2; exit 2; }
# A client that builds with BuildKit: one with the plugin buildx, or one from before there was one.
for docker in docker /usr/bin/docker ''; do
    [ -n "$docker" ] || { echo "no docker program here builds with BuildKit: install docker-buildx" >&2; exit 2; }
    ! "$docker" buildx version >/dev/null 2>&1 || break
    [ "$("$docker" --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 23 ] || break
done
temp=$(mktemp -d "${TMPDIR:-/tmp}/kiops-bench.XXXXXX")
trap 'rm -rf "$temp"' EXIT
export PROGRAM="$program" FOLDER="$temp" CLIENT="$docker"
KIOPS_TEST_REQUIRE=docker,git "$here/../../scripts/with-services.sh" node "$here/bench.mjs"
