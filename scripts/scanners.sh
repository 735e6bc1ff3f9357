#!/usr/bin/env bash
# scripts/scanners.sh: puts the scanners of tests/fixtures/scans/tools/requirements.txt into target/scanners, and says
# the folder of their programs. Fails when they can't be had: without python3-venv, or where PyPI does not answer.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/lib.sh

WANTED=tests/fixtures/scans/tools/requirements.txt
FOLDER=${CARGO_TARGET_DIR:-$PWD/target}/scanners

if ! cmp -s "$WANTED" "$FOLDER/installed"; then
    say "installing scanners into $FOLDER" >&2
    rm -rf "$FOLDER" && mkdir -p "$FOLDER" || exit 1
    if ! /usr/bin/python3 -m venv "$FOLDER/venv" >"$FOLDER/log" 2>&1 ||
        ! "$FOLDER/venv/bin/python" -m pip install --quiet --no-input -r "$WANTED" >>"$FOLDER/log" 2>&1; then
        show_log "$FOLDER/log"
        exit 1
    fi
    cp "$WANTED" "$FOLDER/installed"
fi
echo "$FOLDER/venv/bin"
