#!/usr/bin/env bash
# Runs a throw-away PostgreSQL on a free loopback port.
#
#   tests/support/postgres.sh start [STATE_FILE]   prints its URL
#   tests/support/postgres.sh stop  [STATE_FILE]   ends it and removes its data
#
# PostgreSQL refuses to run as root, hence the change of user; its data live in a
# temporary directory, since that user may not be able to enter this checkout.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
action=${1:?usage: postgres.sh start|stop [STATE_FILE]}
state=${2:-${CARGO_TARGET_DIR:-$root/target}/postgres.state}
mkdir -p "$(dirname "$state")"

as_owner() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups env HOME="$PWD" "$@"
    else
        "$@"
    fi
}

find_bin() {
    local bin
    for bin in /usr/lib/postgresql/*/bin; do
        [ -x "$bin/initdb" ] && [ -x "$bin/pg_ctl" ] && found=$bin
    done
    [ -n "${found:-}" ] || { command -v initdb >/dev/null && found=$(dirname "$(command -v initdb)"); }
    [ -n "${found:-}" ]
}

install_postgres() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
        echo "postgres.sh: PostgreSQL is missing; install the package 'postgresql'" >&2
        return 1
    }
    echo "postgres.sh: installing PostgreSQL" >&2
    {
        apt-get update -qq
        # Without a cluster of the package's own: only the programs are needed.
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
    } >/dev/null 2>&1 || { echo "postgres.sh: apt-get could not install postgresql" >&2; return 1; }
}

stop() {
    [ -f "$state" ] || return 0
    local directory
    # shellcheck disable=SC1090
    directory=$(sed -n 's/^directory=//p' "$state")
    case $directory in
    */prefect-rs-postgres.*)
        if [ -f "$directory/data/postmaster.pid" ]; then
            cd "$directory"
            as_owner "$(sed -n 's/^bin=//p' "$state")/pg_ctl" -D "$directory/data" -m immediate -w stop >/dev/null 2>&1 || true
            cd "$root"
        fi
        rm -rf "$directory"
        ;;
    esac
    rm -f "$state"
}

start() {
    if [ -f "$state" ]; then
        local pid
        pid=$(head -1 "$(sed -n 's/^directory=//p' "$state")/data/postmaster.pid" 2>/dev/null || true)
        if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
            sed -n 's/^url=//p' "$state"
            return 0
        fi
        stop
    fi
    find_bin || { install_postgres && find_bin; }
    local directory port url
    directory=$(mktemp -d "${TMPDIR:-/tmp}/prefect-rs-postgres.XXXXXX")
    [ "$(id -u)" != 0 ] || chown postgres:postgres "$directory"
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    url=postgresql://postgres@127.0.0.1:$port/postgres
    printf 'directory=%s\nbin=%s\nurl=%s\n' "$directory" "$found" "$url" >"$state"
    cd "$directory"
    # Durability is not what these tests are about, and 2 cores are shared with the build.
    if ! { as_owner "$found/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync &&
        as_owner "$found/pg_ctl" -D data -w -l log start \
            -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$directory -c fsync=off -c max_connections=300"; } >start.log 2>&1 </dev/null; then
        echo "postgres.sh: PostgreSQL did not start" >&2
        tail -5 start.log >&2
        exit 1
    fi
    echo "$url"
}

case $action in
start) start ;;
stop) stop ;;
*) echo "usage: postgres.sh start|stop [STATE_FILE]" >&2; exit 2 ;;
esac
