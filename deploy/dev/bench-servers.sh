#!/usr/bin/env bash
# The servers that the bench measures on: one PostgreSQL and one RabbitMQ below DIR, as durable as in production.
#
#   bench-servers.sh up   DIR   start both, new and empty
#   bench-servers.sh down DIR   stop both and remove their data: a measurement's data are worth nothing to the next
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"
. "$here/lib/state.sh"

usage="usage: bench-servers.sh up|down DIR"
verb=${1-} dir=${2-}
[[ -n $verb && -n $dir ]] || die "$usage"
dir=$(readlink -m "$dir")

up() {
  "$here/install.sh" database broker
  down # What a bench left behind that was killed.
  make_state_dir "$dir"
  # Together, because the broker needs several seconds of which most are waiting. No settings of our own:
  # fsync and synchronous commit are on.
  "$here/database.sh" start "$dir/database" &
  local database=$!
  "$here/broker.sh" start "$dir/broker" &
  local broker=$!
  wait "$database" || die "the bench's PostgreSQL did not start"
  wait "$broker" || die "the bench's RabbitMQ did not start"
}

down() {
  [[ -d $dir ]] || return 0
  # Killed, not stopped: the data go anyway, and RabbitMQ takes seconds to say good-bye.
  "$here/broker.sh" kill "$dir/broker"
  "$here/broker.sh" stop "$dir/broker" # Its name server.
  "$here/broker.sh" wipe "$dir/broker"
  "$here/database.sh" kill "$dir/database"
  "$here/database.sh" wipe "$dir/database"
  rm -rf "$dir/scratch"
}

case $verb in
  up) up ;;
  down) down ;;
  *) die "$usage" ;;
esac
