#!/usr/bin/env bash
# Sees to it that a Docker engine answers before the server starts. KIOPS also starts without one and says so, hence
# this never fails: it tells what is missing.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 0
. scripts/lib.sh

# What a runtime is when nothing else is said, whatever DOCKER_HOST is.
SOCKET=/var/run/docker.sock

advice() {
    warn "no Docker engine answers at $SOCKET. KIOPS starts without one; builds and local deployments wait for it."
    cat >&2 <<'TEXT'
  Debian, Ubuntu   sudo apt-get install docker.io && sudo systemctl start docker
                   (and, for a user that is not root: sudo usermod -aG docker "$USER", then log in anew)
  other Linux      https://docs.docker.com/engine/install/
  macOS, Windows   https://docs.docker.com/desktop/
TEXT
}

debian_root && apt_install curl=curl
# Without curl all that can be asked is whether there is a socket.
answers() { if have curl; then engine_answers "$SOCKET"; else [ -S "$SOCKET" ] && [ -w "$SOCKET" ]; fi; }

if answers >/dev/null 2>&1; then
    say "a Docker engine answers at $SOCKET"
    exit 0
fi
if ! debian_root; then
    advice
    exit 0
fi

apt_install docker.io=dockerd iptables=iptables
if ! have dockerd; then
    advice
    exit 0
fi

if [ -d /run/systemd/system ]; then
    systemctl start docker || warn "systemctl start docker failed"
    if wait_until 30 $$ engine_answers "$SOCKET"; then
        say "Docker engine started by systemd"
    else
        advice
    fi
    exit 0
fi

# No init system, as in a container: the engine goes on running when the server has ended.
mkdir -p .dockerd
start_dockerd "$SOCKET" "$PWD/.dockerd/dockerd.log" || advice
exit 0
