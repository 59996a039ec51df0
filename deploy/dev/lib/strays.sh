# shellcheck shell=bash
# Sourced, with $here set: private servers that somebody started for himself and did not live to stop.

# remove_strays DIR : every PostgreSQL and RabbitMQ in a directory of its own below DIR, and DIR itself.
remove_strays() {
  local server
  for server in "$1"/*/; do
    if [[ -e $server/epmd.pid ]]; then
      "$here/broker.sh" kill "$server"
      "$here/broker.sh" stop "$server" # Its name server.
    elif [[ -e $server/identity.env ]]; then
      "$here/database.sh" kill "$server"
      "$here/database.sh" wipe "$server"
    fi
  done
  rm -rf "$1"
}
