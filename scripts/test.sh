#!/usr/bin/env bash
# Everything `make test` does. A failed check ends it: what comes after would only repeat the news.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/lib.sh

SUMMARY=()
FAILED=0

# step NAME COMMAND…
step() {
    local name=$1 start=$SECONDS
    shift
    if [ $FAILED != 0 ]; then
        SUMMARY+=("not run  $name")
        return
    fi
    say "$name: $*"
    if "$@"; then
        SUMMARY+=("ok       $name ($((SECONDS - start)) s)")
    else
        SUMMARY+=("FAILED   $name ($((SECONDS - start)) s)")
        FAILED=1
    fi
}

# These need no network any more: the step before has built them. Inside, there is none.
# shellcheck disable=SC2329 # called by step
with_services() { CARGO_NET_OFFLINE=true scripts/with-services.sh "$@"; }
# shellcheck disable=SC2329 # called by step
on_sqlite() { KIOPS_TEST_DATABASE=sqlite with_services "$@"; }

apt_install docker.io=dockerd docker-registry=docker-registry 'postgresql=/usr/lib/postgresql/*/bin/initdb' git=git \
    chromium=chromium busybox-static=/usr/share/doc/busybox-static apache2-utils=htpasswd iptables=iptables \
    nginx=nginx python3-venv='/usr/lib/python3*/ensurepip' \
    iproute2=ip util-linux=unshare make=make gcc=gcc pkg-config=pkg-config curl=curl \
    ca-certificates=/etc/ssl/certs/ca-certificates.crt

have cargo || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
if ! have cargo; then
    echo 'error: cargo is not installed: see https://rustup.rs' >&2
    exit 1
fi

# Where they can be had, they must work; else their tests are reported as skipped.
if [ -z "${KIOPS_TEST_SCANNERS:-}" ]; then
    if KIOPS_TEST_SCANNERS=$(scripts/scanners.sh); then
        KIOPS_TEST_REQUIRE=${KIOPS_TEST_REQUIRE:+$KIOPS_TEST_REQUIRE,}scanners
        export KIOPS_TEST_SCANNERS KIOPS_TEST_REQUIRE
    else
        unset KIOPS_TEST_SCANNERS
        warn 'no scanners: their tests are skipped'
    fi
fi

step format cargo fmt --all --check
step clippy cargo clippy --workspace --all-targets -- -D warnings
if have cargo-nextest; then
    step build cargo nextest run --workspace --no-run
    step tests with_services cargo nextest run --workspace
    # The run before had PostgreSQL under everything that takes either. Of the tests of the engine those from end to
    # end are run again too (they take less than a minute), and only those that have no database are not, nor those of
    # several servers, which share a PostgreSQL.
    step 'tests on SQLite' on_sqlite cargo nextest run --test it -E 'not test(/^(docker_runtime|servers)::/)'
else
    step build cargo test --workspace --all-targets --no-run
    step tests with_services cargo test --workspace --all-targets --no-fail-fast
    step 'tests on SQLite' on_sqlite cargo test --test it -- --skip docker_runtime --skip servers::
fi
step 'doc tests' cargo test --workspace --doc

say summary
printf '  %s\n' "${SUMMARY[@]}"
exit $FAILED
