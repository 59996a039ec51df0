#!/usr/bin/env bash
# The servers that the tests use: one PostgreSQL and one RabbitMQ below .local/test.
#
#   test-stack.sh up     start what does not run, and write the variables of the tests to .local/test/test.env
#   test-stack.sh down   stop both and remove their data: a test's data are worth nothing to the next run
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"
. "$here/lib/state.sh"
. "$here/lib/strays.sh"
. "$here/lib/programs.sh"

stack=$(readlink -f "$here/../..")/.local/test

up() {
  "$here/install.sh" database broker languages browser
  "$here/console.sh" build
  make_state_dir "$(dirname "$stack")"
  make_state_dir "$stack"
  make_state_dir "$stack/scratch"

  "$here/peers.sh" "$(dirname "$stack")/peers"

  # Together, because the broker needs several seconds of which most are waiting.
  # Without fsync, tests are several times faster, and nobody pulls the plug during a test.
  "$here/database.sh" start "$stack/database" fsync=off synchronous_commit=off full_page_writes=off max_connections=300 &
  local database=$!
  "$here/broker.sh" start "$stack/broker" &
  local broker=$!
  wait "$database" || die "the tests' PostgreSQL did not start"
  wait "$broker" || die "the tests' RabbitMQ did not start"

  # shellcheck source=/dev/null
  . "$stack/database/database.env"
  # shellcheck source=/dev/null
  . "$stack/broker/broker.env"
  local peers chromium
  peers=$(dirname "$stack")/peers
  chromium=$(browser_bin) || die "there is no Chromium that starts" "set PLUMBLINE_CHROMIUM to one"
  local PLUMBLINE_TEST_DATABASE_URL=${DATABASE_URL%/*}/postgres \
    PLUMBLINE_TEST_AMQP_URL=$AMQP_URL \
    PLUMBLINE_TEST_AMQP_MANAGEMENT_URL=$MANAGEMENT_URL \
    PLUMBLINE_TEST_BROKER_SCRIPT=$here/broker.sh \
    PLUMBLINE_TEST_DATABASE_SCRIPT=$here/database.sh \
    PLUMBLINE_TEST_PEERS=$peers \
    PLUMBLINE_TEST_CHROMIUM=$chromium \
    PLUMBLINE_TEST_SCRATCH=$stack/scratch
  assignments PLUMBLINE_TEST_{DATABASE_URL,AMQP_URL,AMQP_MANAGEMENT_URL,BROKER_SCRIPT,DATABASE_SCRIPT,PEERS,CHROMIUM,SCRATCH} |
    sed 's/^/export /' | replace_file "$stack/test.env"
}

down() {
  [[ -d $stack ]] || return 0
  rm -f "$stack/test.env"
  # What a test started for itself below PLUMBLINE_TEST_SCRATCH and did not live to stop.
  remove_strays "$stack/scratch"
  # Killed, not stopped: the data go anyway, and RabbitMQ takes seconds to say good-bye.
  "$here/broker.sh" kill "$stack/broker"
  "$here/broker.sh" stop "$stack/broker"
  "$here/broker.sh" wipe "$stack/broker"
  "$here/database.sh" kill "$stack/database"
  "$here/database.sh" wipe "$stack/database"
}

case ${1-} in
  up) up ;;
  down) down ;;
  *) die "usage: test-stack.sh up|down" ;;
esac
