#!/usr/bin/env bash
# scripts/conformance.sh: holds the server to tools that others wrote: graphql-http's audits, graphql-ws, graphql-js,
# Schemathesis, graphql-codegen and graphql-inspector. They come from npm and PyPI in the versions that tests/conformance names;
# after that nothing but loopback is reached. KIOPS_BIN is the program (target/release/kiops, else target/debug/kiops). EXAMPLES
# (2000) is how much Schemathesis asks with each token, DOCUMENTS (1000) how many random ones are merged, SEED repeats a run of
# either, and STEPS names the steps to run (http,resume,closing,documents,merging,fuzz-member,fuzz-admin). Node 20, Python 3.10,
# git, busybox and a Docker engine are needed, which is started for the time of the run as root on Linux. Ends with 0 when every
# step passed.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
tests=$here/../tests/conformance
made=$here/../target/conformance

for program in "${KIOPS_BIN:-}" "$here/../target/release/kiops" "$here/../target/debug/kiops"; do
    [ -z "$program" ] || [ ! -x "$program" ] || break
done
[ -x "$program" ] || { echo "there is no program to hold to them: cargo build, or name one in KIOPS_BIN" >&2; exit 2; }
if [ -n "${KIOPS_BIN:-}" ] && [ ! -x "$KIOPS_BIN" ]; then echo "KIOPS_BIN is no program: $KIOPS_BIN" >&2; exit 2; fi
for needed in node npm python3 git tar /bin/busybox; do
    have "$needed" || { echo "$needed is needed" >&2; exit 2; }
done

# Anew only when what is wanted has changed.
fetch() { # fetch LIST STAMP COMMAND…
    local list=$1 stamp=$made/$2
    shift 2
    cmp -s "$list" "$stamp" || { "$@" && cp "$list" "$stamp"; }
}
mkdir -p "$made"
[ -d "$tests/node_modules" ] || rm -f "$made/package-lock.json"
say 'tools from npm and PyPI'
fetch "$tests/package-lock.json" package-lock.json npm --prefix "$tests" ci --no-audit --no-fund --loglevel=error
[ -x "$made/venv/bin/python" ] || { rm -f "$made/requirements.txt"; python3 -m venv "$made/venv"; }
fetch "$tests/requirements.txt" requirements.txt "$made/venv/bin/pip" install --quiet --requirement "$tests/requirements.txt"

temp=$(mktemp -d "${TMPDIR:-/tmp}/kiops-conformance.XXXXXX")
trap 'rm -rf "$temp"' EXIT
KIOPS_BIN=$(realpath "$program")
SCHEMATHESIS=$(realpath -s "$made/venv/bin/st")
export KIOPS_BIN SCHEMATHESIS FOLDER="$temp"
say "$KIOPS_BIN"
KIOPS_TEST_REQUIRE=docker,git,node "$here/with-services.sh" node "$tests/run.mjs"
