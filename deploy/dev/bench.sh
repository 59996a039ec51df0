#!/usr/bin/env bash
# Builds what is measured, and measures it. Arguments go to the bench: see plumbline-bench --help.
#
# WORKLOADS="fan-out-1 open-300" and RUNS=1 choose the same way, as `make bench` cannot take arguments.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
for part in say process programs; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

cd "$here/../.."
directory=.local/bench

"$here/install.sh" database broker
"$here/build.sh" --all >&2
mkdir -p "$directory"
rm -f "$directory/report.json"

# The bench stops its servers by itself, also when it is interrupted; this is for when it could not. While another
# bench holds the lock, the servers are that one's.
clean_up() {
  trap '' INT TERM HUP
  end_interruptible
  if flock -n "$directory/lock" true; then "$here/bench-servers.sh" down "$directory"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

arguments=(--directory "$directory" --json "$directory/report.json" --scripts "$here")
[[ -z ${RUNS-} ]] || arguments+=(--runs "$RUNS")
read -ra workloads <<<"${WORKLOADS-}"
outcome=0
interruptible "$(release_bin)/plumbline-bench" "${arguments[@]}" "$@" "${workloads[@]}" || outcome=$?
if [[ -e $directory/report.json ]]; then say "The report is in $directory/report.json"; fi
exit "$outcome"
