#!/bin/sh
# Twenty seconds of Silverback: one host, two tenants, a leader job and a scheduled job.
#
#     sh examples/demo.sh PATH-OF-SILVERBACK
#
# Called by `make demo`, which builds what it needs. It leaves nothing behind: no process, no file.
set -eu

case $1 in
    /*) silverback=$1 ;;
    *) silverback=$PWD/$1 ;;
esac
cd "$(dirname "$0")"

leader=desk/publisher
scheduled=metrics/rollup

dir=$(mktemp -d)
host=
followers=

stop_following() {
    for follower in $followers; do
        kill "$follower" 2>/dev/null || :
    done
    followers=
}

# Whatever ends the demo: Ctrl-C, an error, or its own end.
finish() {
    status=$?
    trap - EXIT
    trap '' INT TERM HUP
    stop_following
    if [ -n "$host" ]; then
        kill "$host" 2>/dev/null || :
        wait "$host" || status=1
    fi
    if [ "$status" -ne 0 ]; then
        echo '-- the demo was not finished; the host said at last:' >&2
        tail -n 20 "$dir/host.log" >&2 || :
    fi
    rm -rf "$dir"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() {
    printf '\n-- %s\n' "$*"
}

run() {
    printf '$ silverback %s\n' "$*"
    "$silverback" "$@"
}

# Starts the host on a loopback port; fails where the port is taken or the host ends at once.
start_host() {
    export SILVERBACK_SERVER="http://127.0.0.1:$1"
    "$silverback" up --name demo --listen "127.0.0.1:$1" --data "$dir/data" >"$dir/ready" 2>"$dir/host.log" &
    host=$!
    until [ -s "$dir/ready" ]; do
        kill -0 "$host" 2>/dev/null || { host=; return 1; }
        sleep 0.1
    done
}

# Shows a job's log as it grows, with the job's name before each line.
follow() {
    mkfifo "$dir/$2.log"
    "$silverback" logs "$1" --follow >"$dir/$2.log" 2>/dev/null &
    followers="$followers $!"
    while IFS= read -r line; do
        printf '%-10s| %s\n' "$2" "$line"
    done <"$dir/$2.log" &
}

say 'A host on the embedded coordinator: one process, nothing else to install'
port=$((20000 + $$ % 10000))
until start_host "$port"; do
    port=$((port + 1))
    [ "$port" -lt "$((20000 + $$ % 10000 + 20))" ] || exit 1
done
read -r line <"$dir/ready"
echo "$line"

say 'Two tenants hand in their components'
run apply publisher/job.toml rollup/job.toml

say 'What they do, as it happens'
follow "$leader" publisher
follow "$scheduled" rollup
sleep 7

say 'An order for the leader'
run state set "$leader" orders '[{"id": 1, "symbol": "ZINC", "price": 2710.5}]'
sleep 12
stop_following

say 'The summary'
run jobs
run contenders "$leader"
run runs "$leader"
run runs "$scheduled" --limit 5
run state list "$leader"
run state list "$scheduled"

say 'The host is told to end: it stops its guests, gives up what it leads, and exits'
