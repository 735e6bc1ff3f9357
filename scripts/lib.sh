# shellcheck shell=bash
# What the scripts share. Sourced, never run.

say() { printf '==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }

have() { command -v "$1" >/dev/null 2>&1; }

debian_root() { [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ] && have apt-get; }

# probe_ok PROBE: a command that is there, or a path pattern that matches something.
probe_ok() {
    case $1 in
        /*) compgen -G "$1" >/dev/null ;;
        *) have "$1" ;;
    esac
}

# apt_install PACKAGE=PROBE…: installs the packages whose probe fails. What cannot be installed is a warning: the
# caller looks at what it really has. A subshell, so that its trap is its own.
apt_install() (
    local pair missing=() policy=/usr/sbin/policy-rc.d
    for pair in "$@"; do
        probe_ok "${pair#*=}" || missing+=("${pair%%=*}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! debian_root; then
        warn "not there: ${missing[*]} (installed by itself only on Debian as root)"
        return 0
    fi
    say "installing ${missing[*]}"
    # Packages of servers start them when installed. Nothing here wants that: the scripts start their own.
    if [ ! -e $policy ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM HUP
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -y -q -o DPkg::Lock::Timeout=120)
    "${apt[@]}" update >/dev/null || warn "apt-get update failed"
    if ! "${apt[@]}" install --no-install-recommends "${missing[@]}" >/dev/null; then
        # One that does not exist in this release must not keep the others out.
        for pair in "${missing[@]}"; do
            "${apt[@]}" install --no-install-recommends "$pair" >/dev/null || warn "could not install $pair"
        done
    fi
)

# wait_until SECONDS PID COMMAND…: until COMMAND succeeds; fails when time is up or the process is gone.
wait_until() {
    local deadline=$((SECONDS + $1)) pid=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ] || return 1
        sleep 0.2
    done
}

# stop_pid PID SIGNAL SECONDS: asks a process to end, and makes it when it does not.
stop_pid() {
    local deadline=$((SECONDS + $3))
    kill "-$2" "$1" 2>/dev/null || return 0
    while kill -0 "$1" 2>/dev/null; do
        if [ $SECONDS -ge $deadline ]; then
            kill -KILL "$1" 2>/dev/null
            return 0
        fi
        sleep 0.1
    done
}

show_log() {
    printf -- '--- last lines of %s\n' "$1" >&2
    tail -n "${2:-30}" "$1" >&2
    printf -- '---\n' >&2
}

engine_answers() { curl -fsS --max-time 5 --unix-socket "$1" http://engine/_ping; }

# start_dockerd SOCKET LOG ARGUMENT…: tries what most machines can do first, then what is left when file systems
# cannot be stacked (vfs) or the kernel has no NAT (containers then reach the host and each other by address
# only; published ports work, by the engine's own proxy). Sets DOCKERD_PID.
# Words of DOCKERD_PREFIX come before the program.
start_dockerd() {
    local socket=$1 log=$2 network storage
    shift 2
    for network in "" "--iptables=false --ip-masq=false"; do
        for storage in overlay2 vfs; do
            # shellcheck disable=SC2086 # two words, or none
            setsid ${DOCKERD_PREFIX[@]+"${DOCKERD_PREFIX[@]}"} dockerd --host "unix://$socket" --storage-driver $storage $network "$@" >"$log" 2>&1 </dev/null &
            DOCKERD_PID=$!
            if wait_until 60 "$DOCKERD_PID" engine_answers "$socket"; then
                say "Docker engine started ($storage${network:+, without NAT}), process $DOCKERD_PID, log $log"
                return 0
            fi
            warn "no Docker engine with $storage${network:+ without NAT}"
            stop_pid "$DOCKERD_PID" TERM 15
            wait "$DOCKERD_PID" 2>/dev/null
        done
    done
    DOCKERD_PID=
    show_log "$log"
    return 1
}
