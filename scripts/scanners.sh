#!/usr/bin/env bash
# scripts/scanners.sh: puts the scanners that tests/fixtures/scans/tools/*.txt lists into target/scanners, and says the
# folder of their programs. Fails when they can't be had: without python3-venv, or where PyPI does not answer.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/lib.sh

FOLDER=${CARGO_TARGET_DIR:-$PWD/target}/scanners
LISTS=(tests/fixtures/scans/tools/*.txt)

# One environment a list, and links to all of their programs.
install() {
    local list environment
    rm -rf "$FOLDER" && mkdir -p "$FOLDER/bin" || return 1
    for list in "${LISTS[@]}"; do
        environment=$FOLDER/$(basename "$list" .txt)
        /usr/bin/python3 -m venv "$environment" &&
            "$environment/bin/python" -m pip install --quiet --no-input -r "$list" &&
            ln -s --target-directory="$FOLDER/bin" --force "$environment"/bin/* || return 1
    done
    cat "${LISTS[@]}" >"$FOLDER/installed"
}

if ! cmp -s <(cat "${LISTS[@]}") "$FOLDER/installed"; then
    say "installing scanners into $FOLDER" >&2
    log=$(mktemp) || exit 1
    trap 'rm -f "$log"' EXIT
    if ! install >"$log" 2>&1; then
        show_log "$log"
        exit 1
    fi
fi
echo "$FOLDER/bin"
