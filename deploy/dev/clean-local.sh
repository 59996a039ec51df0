#!/usr/bin/env bash
# Stops everything of this checkout, the servers of the tests and of the bench too, and removes .local with all data.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
stack=$(readlink -f "$here/../..")/.local

[[ -d $stack ]] || exit 0
"$here/down.sh"
"$here/test-stack.sh" down
"$here/bench-servers.sh" down "$stack/bench"
# Not only rm: root's database may live elsewhere (see database.sh).
"$here/database.sh" wipe "$stack/database"
rm -rf "$stack"
