#!/usr/bin/env bash
# scripts/with-services.sh COMMAND…: runs COMMAND beside two throwaway Docker engines and PostgreSQL, named to it by
# KIOPS_TEST_DOCKER_HOST, KIOPS_TEST_SECOND_DOCKER_HOST and KIOPS_TEST_POSTGRES_URL, and leaves nothing behind.
#
# As root on Linux all of it, COMMAND too, runs in network, mount and process namespaces of its own: another engine
# on this machine keeps its bridge and its firewall rules, published ports clash with nobody's, and when the last
# namespace goes, every process, mount and interface goes with it, however the run ended. There is no way out to
# the internet from there, so no test can come to need one.
#
# Elsewhere there is no engine unless KIOPS_TEST_DOCKER_HOST names one; PostgreSQL is started where it is installed.
# What KIOPS_TEST_REQUIRE lists (docker, second-docker, registry, postgres, git, browser, nginx, python, node, scanners) must
# be there, or COMMAND is not run.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

[ $# -gt 0 ] || { echo "usage: $0 COMMAND…" >&2; exit 2; }

NAMESPACES=(setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc)
CHILD=

outside() {
    local prefix=() status
    TEMP=$(mktemp -d "${TMPDIR:-/tmp}/kiops-test.XXXXXX") || exit 1
    chmod 711 "$TEMP" # the user postgres has a folder in it
    # The second engine needs such a folder to mount its own on; the machine is left as it was.
    MADE_FOLDER=''
    [ -e /etc/docker ] || MADE_FOLDER=/etc/docker
    trap outside_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    KIOPS_SERVICES=shared
    if [ -n "${KIOPS_TEST_DOCKER_HOST:-}" ]; then
        say "Docker engine: $KIOPS_TEST_DOCKER_HOST"
    elif [ -n "${KIOPS_TEST_POSTGRES_URL:-}" ]; then
        warn "no Docker engine is started: its namespace could not reach the PostgreSQL of KIOPS_TEST_POSTGRES_URL"
    elif [ "$(id -u)" = 0 ] && have setpriv && have unshare && "${NAMESPACES[@]}" true 2>/dev/null; then
        KIOPS_SERVICES=own
        prefix=("${NAMESPACES[@]}")
    else
        warn "no Docker engine is started: that takes root on Linux, and namespaces"
    fi
    export KIOPS_SERVICES KIOPS_SERVICES_TEMP=$TEMP
    # In the background, so that a signal is acted upon at once and not when the command has ended.
    ${prefix[@]+"${prefix[@]}"} bash "$here/with-services.sh" "$@" &
    CHILD=$!
    wait "$CHILD"
    status=$?
    CHILD=
    exit $status
}

# shellcheck disable=SC2329 # called by a trap
outside_cleanup() {
    trap '' INT TERM HUP
    if [ -n "$CHILD" ]; then
        # With namespaces this is unshare, whose end is the end of all that is inside.
        if [ "$KIOPS_SERVICES" = own ]; then kill -KILL "$CHILD" 2>/dev/null; else stop_pid "$CHILD" TERM 30; fi
        wait "$CHILD" 2>/dev/null
    fi
    [ -z "$MADE_FOLDER" ] || rmdir "$MADE_FOLDER" 2>/dev/null
    # Control groups are no part of a namespace. The last processes may take a moment to leave them.
    local attempt
    for attempt in {1..50}; do
        find /sys/fs/cgroup -depth -type d -path "*/${TEMP##*/}*" -exec rmdir {} + 2>/dev/null
        rm -rf --one-file-system "$TEMP" 2>/dev/null
        [ -e "$TEMP" ] || [ -n "$(control_groups)" ] || return 0
        sleep 0.3
    done
    warn "left behind after $attempt attempts: $TEMP $(control_groups)"
}

# shellcheck disable=SC2329 # called by what a trap calls
control_groups() { find /sys/fs/cgroup -type d -name "${TEMP##*/}" 2>/dev/null; }

inside() {
    TEMP=$KIOPS_SERVICES_TEMP
    DOCKERD_PID='' FIRST_PID='' SECOND_PID='' POSTGRES_PID='' DOCKER=missing SECOND=missing POSTGRES=missing
    trap inside_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [ -n "${KIOPS_TEST_DOCKER_HOST:-}" ]; then
        DOCKER=given
    elif [ "$KIOPS_SERVICES" = own ]; then
        start_engine && DOCKER=started
        FIRST_PID=$DOCKERD_PID
    fi
    if [ -n "${KIOPS_TEST_SECOND_DOCKER_HOST:-}" ]; then
        SECOND=given
    elif [ "$DOCKER" = started ]; then
        start_second_engine && SECOND=started
        SECOND_PID=$DOCKERD_PID
    fi
    if [ -n "${KIOPS_TEST_POSTGRES_URL:-}" ]; then
        POSTGRES=given
    else
        start_postgres && POSTGRES=started
    fi
    report || exit 3
    "$@" &
    CHILD=$!
    wait "$CHILD"
    local status=$?
    CHILD=
    exit $status
}

# shellcheck disable=SC2329 # called by a trap
inside_cleanup() {
    trap '' INT TERM HUP
    [ -z "$CHILD" ] || stop_pid "$CHILD" TERM 10
    if [ -n "$SECOND_PID" ]; then
        remove_containers "$TEMP/second.sock"
        stop_pid "$SECOND_PID" TERM 20
    fi
    if [ -n "$FIRST_PID" ]; then
        remove_containers "$TEMP/docker.sock"
        stop_pid "$FIRST_PID" TERM 20
    fi
    [ -z "$POSTGRES_PID" ] || stop_pid "$POSTGRES_PID" INT 10
    wait
}

# An engine told to stop gives each container ten seconds, and a shell as process 1 of a container takes them all.
# shellcheck disable=SC2329 # called by what a trap calls
remove_containers() {
    local api=(curl -fsS --max-time 15 --unix-socket "$1") removals=() id
    for id in $("${api[@]}" 'http://engine/containers/json?all=true' | grep -o '"Id":"[0-9a-f]*"' | cut -d'"' -f4); do
        "${api[@]}" -X DELETE "http://engine/containers/$id?force=true&v=true" &
        removals+=($!)
    done >/dev/null 2>&1
    [ ${#removals[@]} = 0 ] || wait "${removals[@]}"
}

start_engine() {
    if ! have dockerd || ! have containerd || ! have ip || ! have curl; then
        warn "no Docker engine: dockerd, containerd, ip and curl are needed"
        return 1
    fi
    ip link set lo up || return 1
    # Sockets of containerd's shims are here wherever the engine's own folders are.
    mkdir -p /run/containerd && mount -t tmpfs -o mode=711 tmpfs /run/containerd || return 1
    # The machine's own configuration, which could contradict the arguments, is left out. Control groups by the file
    # system, because systemd knows nothing of the process numbers in here.
    echo '{}' >"$TEMP/daemon.json"
    # A bridge of another name than the usual one, which the second engine deletes when it starts without one.
    ip link add kiops0 type bridge && ip address add 10.214.0.1/16 dev kiops0 && ip link set kiops0 up || return 1
    start_dockerd "$TEMP/docker.sock" "$TEMP/dockerd.log" --config-file "$TEMP/daemon.json" --bridge kiops0 \
        --data-root "$TEMP/docker" --exec-root "$TEMP/exec" --pidfile "$TEMP/dockerd.pid" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${TEMP##*/}" || return 1
    export KIOPS_TEST_DOCKER_HOST=unix://$TEMP/docker.sock
}

# A small one to move to. It shares the first one's network namespace, so that it leaves the firewall's rules and
# the default bridge alone and takes addresses of its own; and it sees a folder for its key of its own, from which
# old engines take their id.
start_second_engine() {
    local folder=$TEMP/second
    mkdir -p "$folder" /etc/docker || return 1
    # shellcheck disable=SC2016,SC2034 # the shell inside expands it; start_dockerd reads it
    local DOCKERD_PREFIX=(unshare --mount --propagation slave sh -c
        'mount -t tmpfs tmpfs /etc/docker && exec "$@"' sh)
    start_dockerd "$TEMP/second.sock" "$TEMP/second.log" --config-file "$TEMP/daemon.json" --bridge none \
        --iptables=false --ip-masq=false --default-address-pool base=10.213.0.0/16,size=24 \
        --data-root "$folder/docker" --exec-root "$folder/exec" --pidfile "$folder/dockerd.pid" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${TEMP##*/}" || return 1
    export KIOPS_TEST_SECOND_DOCKER_HOST=unix://$TEMP/second.sock
}

# As the user postgres when we are root, which PostgreSQL refuses to run as.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        exec setpriv --reuid postgres --regid postgres --init-groups env HOME="$TEMP/postgres" "$@"
    fi
    exec "$@"
}

start_postgres() {
    local bin='' candidate port attempt folder=$TEMP/postgres log=$TEMP/postgres.log
    have initdb && bin=$(dirname "$(command -v initdb)")
    for candidate in /usr/lib/postgresql/*/bin; do # Debian has them outside PATH; the newest is the last
        [ -x "$candidate/initdb" ] && bin=$candidate
    done
    if [ -z "$bin" ]; then
        warn "no PostgreSQL: initdb is not installed"
        return 1
    fi
    mkdir -p "$folder" || return 1
    [ "$(id -u)" != 0 ] || chown postgres "$folder" || return 1
    if ! (cd "$folder" && as_postgres "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
        --no-sync >"$log" 2>&1); then
        warn "initdb failed"
        show_log "$log"
        return 1
    fi
    for attempt in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000)) # below the ports a kernel gives to clients
        # Nothing survives the run, so nothing is made durable.
        (cd "$folder" && as_postgres "$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 \
            -c unix_socket_directories= -c max_connections=300 -c fsync=off -c synchronous_commit=off \
            -c full_page_writes=off >>"$log" 2>&1) &
        POSTGRES_PID=$!
        if wait_until 30 "$POSTGRES_PID" "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U postgres &&
            kill -0 "$POSTGRES_PID" 2>/dev/null; then
            say "PostgreSQL started, process $POSTGRES_PID, port $port"
            export KIOPS_TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:$port/postgres
            return 0
        fi
        warn "PostgreSQL did not start on port $port (attempt $attempt)"
        stop_pid "$POSTGRES_PID" INT 10
        wait "$POSTGRES_PID" 2>/dev/null
    done
    POSTGRES_PID=
    show_log "$log"
    return 1
}

# What there is, and whether all that is required is.
report() {
    local registry=missing git=missing browser=missing nginx=missing python=missing node=missing
    local scanners=missing candidate name failed=0
    have docker-registry && registry=found
    have git && git=found
    [ ! -x /usr/sbin/nginx ] || nginx=found
    ! /usr/bin/python3 -m ensurepip --version >/dev/null 2>&1 || python=found
    ! have node || node=found
    [ ! -x "${KIOPS_TEST_SCANNERS:-}/semgrep" ] || scanners=found
    for candidate in chromium chromium-browser google-chrome; do
        have "$candidate" && browser=found
    done
    say "docker $DOCKER, second docker $SECOND, postgres $POSTGRES, registry $registry, git $git, browser $browser, \
nginx $nginx, python $python, node $node, scanners $scanners"
    for name in $(tr ',' ' ' <<<"${KIOPS_TEST_REQUIRE:-}"); do
        case $name in
            docker) candidate=$DOCKER ;;
            second-docker) candidate=$SECOND ;;
            postgres) candidate=$POSTGRES ;;
            registry) candidate=$registry ;;
            git) candidate=$git ;;
            browser) candidate=$browser ;;
            nginx) candidate=$nginx ;;
            python) candidate=$python ;;
            node) candidate=$node ;;
            scanners) candidate=$scanners ;;
            *) candidate=unknown ;;
        esac
        case $candidate in
            missing | unknown)
                printf 'error: KIOPS_TEST_REQUIRE lists %s, which is %s\n' "$name" "$candidate" >&2
                failed=1
                ;;
        esac
    done
    return $failed
}

if [ -n "${KIOPS_SERVICES_TEMP:-}" ]; then inside "$@"; else outside "$@"; fi
