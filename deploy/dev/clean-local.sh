#!/usr/bin/env bash
# Stops everything of this checkout, the servers of the tests, of the bench and of the checks too, and removes .local with all data.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
stack=$(readlink -f "$here/../..")/.local

[[ -d $stack ]] || exit 0
"$here/down.sh"
"$here/test-stack.sh" down
"$here/bench-servers.sh" down "$stack/bench"
if [[ -d $stack/deploy/containers ]]; then "$here/../checks/run.sh" stop; fi
# Not only rm: root's database may live elsewhere (see database.sh).
"$here/database.sh" wipe "$stack/database"
rm -rf "$stack"
