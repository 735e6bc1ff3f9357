#!/usr/bin/env bash
# Builds the release, and runs every bench by turns with what it is compared with; see benches/README.md. ONLY chooses some of
# them (pure,rest,list,fanout,hostile,webhooks,delivery). What needs a part that is not here says so and is left out.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
cargo build --release --package kiops --package peers || exit 1
modules=target/benches
mkdir -p "$modules"
cp benches/peers/package.json benches/peers/package-lock.json "$modules"
[ ! -e /usr/include/node/node.h ] || export npm_config_nodedir=/usr
(cd "$modules" && npm ci --silent --no-audit --no-fund) || exit 1
failed=0
only=${ONLY:-pure,rest,list,fanout,hostile,webhooks,delivery}
unset ONLY
for bench in ${only//,/ }; do
    echo "== $bench"
    case $bench in
        pure) cargo bench --quiet --bench pure ;;
        list) MODULES=$modules benches/list/run.sh && CORES=2 MODULES=$modules benches/list/run.sh ;;
        delivery) benches/delivery/run.sh ;;
        *) MODULES=$modules "benches/$bench/run.sh" ;;
    esac || { echo "$bench did not come to its end" >&2; failed=1; }
done
exit $failed
