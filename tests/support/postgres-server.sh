#!/bin/sh
# A private PostgreSQL server for tests, on a socket in a folder of its own:
#   postgres-server.sh start FOLDER [PID]   makes a database in FOLDER (which exists and is empty), starts the server and
#                                           prints its address; the server ends with process PID, if one is named
#   postgres-server.sh stop|crash FOLDER    ends it in order, or at once as a crash would
#   postgres-server.sh again FOLDER         starts it again
#   postgres-server.sh sql FOLDER SQL       runs statements
#   postgres-server.sh look FOLDER          only looks whether a server is installed
# Exit status 77: no server is installed. PostgreSQL refuses to run as root; root gives the folder to another user.
set -eu

command=$1
folder=$2
bin=$(find /usr/lib/postgresql/*/bin /usr/pgsql-*/bin -name initdb 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(command -v initdb || true)
if [ -z "$bin" ]; then
    echo "no PostgreSQL server is installed here (Debian: postgresql)" >&2
    exit 77
fi
bin=$(dirname "$bin")

user=$(id -un)
if [ "$(id -u)" -eq 0 ]; then
    user=nobody
    id postgres >/dev/null 2>&1 && user=postgres
fi

# Runs a command as that user, in a folder that the user may enter.
as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd "$folder" && setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@")
    else
        (cd "$folder" && "$@")
    fi
}

control() {
    as_user "$bin/pg_ctl" -D "$folder/data" -s -w -t 60 "$@" >>"$folder/control.log" 2>&1 </dev/null ||
        { cat "$folder/control.log" "$folder/server.log" >&2; return 1; }
}

# A test that is killed leaves no server behind, also when the signal goes to all processes of its group.
watch() {
    trap '' HUP INT TERM
    while kill -0 "$1" 2>/dev/null; do
        sleep 1
    done
    [ ! -d "$folder/data" ] || control -m immediate stop
}

case $command in
look) ;;
start)
    [ "$(id -u)" -ne 0 ] || chown "$user" "$folder"
    as_user "$bin/initdb" -D "$folder/data" -U tintype -A trust -E UTF8 --locale=C --no-sync \
        >"$folder/control.log" 2>&1 || { cat "$folder/control.log" >&2; exit 1; }
    cat >>"$folder/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$folder'
max_connections = 60
shared_buffers = 32MB
END
    control -l "$folder/server.log" start
    [ -z "${3:-}" ] || watch "$3" >/dev/null 2>&1 </dev/null &
    echo "postgresql://tintype@/postgres?host=$folder"
    ;;
stop) control -m fast stop ;;
crash) control -m immediate stop ;;
again) control -l "$folder/server.log" start ;;
sql)
    "$bin/psql" -h "$folder" -U tintype -d postgres -v ON_ERROR_STOP=1 -X -q -A -t -c "$3"
    ;;
*)
    echo "postgres-server.sh: unknown command '$command'" >&2
    exit 2
    ;;
esac
