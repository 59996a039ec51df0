#!/usr/bin/env bash
# Stops what `make up` and `make run` of this checkout started, and keeps the data.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
for part in say state process stack services; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

[[ -d $stack ]] || exit 0
hold_lock "$stack/lock"

# The services first, while there is still a broker and a database to settle with.
mapfile -t names < <(known_services)
stop_services "${names[@]}"
rm -f "$stack"/run/*
"$here/broker.sh" stop "$stack/broker" &
broker=$!
"$here/database.sh" stop "$stack/database"
wait "$broker"

# Its pids are nobody's now, and the next start begins without the wishes of the last one.
rm -f "$stack/dev.env" "$stack/settings.env"
