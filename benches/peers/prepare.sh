# Sourced by the run.sh of a bench: finds the program ($program) and puts the bench, what it shares with others and its
# modules into a folder of its own ($temp), which goes in the end.
here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
program=$(realpath "${1:-$here/../../target/release/kiops}")
[ -x "$program" ] || { echo "$program is not there: cargo build --release" >&2; exit 2; }
temp=$(mktemp -d "${TMPDIR:-/tmp}/kiops-bench.XXXXXX")
trap 'rm -rf "$temp"' EXIT
cp "$here"/*.mjs "$here"/../peers/*.mjs "$here"/../peers/package*.json "$temp"
if [ -n "${MODULES:-}" ]; then
    ln -s "$(realpath "$MODULES")/node_modules" "$temp/node_modules"
else
    # better-sqlite3 may have to be compiled, for which Debian has the headers here.
    [ ! -e /usr/include/node/node.h ] || export npm_config_nodedir=/usr
    (cd "$temp" && npm ci --silent --no-audit --no-fund >&2)
fi
