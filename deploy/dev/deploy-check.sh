#!/usr/bin/env bash
# Checks what is in deploy/: each deploy/checks/*.sh, in the order of their names, with the time that it took. All run,
# so that one round shows all. Arguments choose: deploy-check.sh compose kubernetes
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"
. "$here/lib/process.sh"
checks=$(readlink -f "$here/../checks")

trap 'trap "" INT TERM HUP; end_interruptible' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

chosen=()
for name in "$@"; do
  [[ -x $checks/$name.sh ]] || die "there is no check '$name'" "choose from: $(cd "$checks" && printf '%s ' *.sh | sed 's/\.sh//g')"
  chosen+=("$checks/$name.sh")
done
if (($# == 0)); then chosen=("$checks"/*.sh); fi

table=() outcome=0
for script in "${chosen[@]}"; do
  [[ -x $script ]] || continue
  name=$(basename "$script" .sh) began=$SECONDS ended=0
  say "=== $name"
  interruptible "$script" </dev/null || ended=$?
  case $ended in
    0) verdict=passed ;;
    77) verdict=skipped ;; # EXIT_SKIPPED: it cannot be done here, and has said why.
    *) verdict=FAILED outcome=1 ;;
  esac
  table+=("$(printf '%-12s %-7s %4d s' "$name" "$verdict" $((SECONDS - began)))")
done
say "==="
printf '%s\n' "${table[@]}" >&2
exit "$outcome"
