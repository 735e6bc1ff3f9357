# Sourced by the run.sh of a bench: finds a Docker client that builds with BuildKit ($CLIENT), which is one with the plugin
# buildx, or one from before there was one.
for CLIENT in docker /usr/bin/docker ''; do
    [ -n "$CLIENT" ] || { echo "no docker program here builds with BuildKit: install docker-buildx" >&2; exit 2; }
    command -v "$CLIENT" >/dev/null || continue
    ! "$CLIENT" buildx version >/dev/null 2>&1 || break
    [ "$("$CLIENT" --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 23 ] || break
done
export CLIENT
