#!/usr/bin/env bash
# Breaks everything at random for a while and compares the books afterwards: docs/RELIABILITY.md. Arguments go to the
# program: see plumbline-chaos --help.
#
# SEED=7, MINUTES=10 and SCENARIO=failover or cluster choose the same way, as `make chaos` cannot take arguments.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
for part in say state process programs strays; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

cd "$here/../.."
directory=.local/chaos

type -P cargo >/dev/null || die "Rust is not installed" "install it from https://rustup.rs, then run this again"
"$here/install.sh" database broker
# What `make test` builds, so that nothing is built twice.
cargo build --workspace --bins </dev/null >&2
make_state_dir .local
make_state_dir "$directory"
make_state_dir "$directory/scratch"

# It stops its servers by itself, also when it is interrupted; this is for when it could not. While another run holds
# the lock, the servers are that one's.
clean_up() {
  trap '' INT TERM HUP
  end_interruptible
  if flock -n "$directory/lock" true; then remove_strays "$directory/scratch"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

arguments=(--directory "$directory" --scripts "$here")
[[ -z ${SEED-} ]] || arguments+=(--seed "$SEED")
[[ -z ${MINUTES-} ]] || arguments+=(--minutes "$MINUTES")
[[ -z ${SCENARIO-} ]] || arguments+=(--scenario "$SCENARIO")
interruptible "$(debug_bin)/plumbline-chaos" "${arguments[@]}" "$@"
