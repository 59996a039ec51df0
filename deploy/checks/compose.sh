#!/usr/bin/env bash
# deploy/compose.yaml: by the schema of Compose, with each variable in .env.example, each file that it mounts there, and
# with settings that the programs know.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/check.sh"

main() {
  python_tools
  check "$python/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose.yaml
  check "$python/python" "$here/tools/compose.py" deploy/compose.yaml deploy/.env.example
  # The check of the metrics, which comes later, installs it.
  if type -P promtool >/dev/null; then check promtool check config --syntax-only deploy/compose/prometheus.yml; fi
  finish
}

main
