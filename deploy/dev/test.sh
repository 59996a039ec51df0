#!/usr/bin/env bash
# Runs every test of the workspace against private servers, and stops those afterwards, whatever happens.
# Servers that `make test-up` started are used and left running.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"
. "$here/lib/process.sh"

cd "$here/../.."
type -P cargo >/dev/null || die "Rust is not installed" "install it from https://rustup.rs, then run this again"
"$here/install.sh" database broker peers languages browser

# What the API carries, and what it decides by itself.
"$here/console.sh" build
"$here/console.sh" test

# First, so that a mistake that does not compile costs no server; and the end-to-end tests start these.
cargo build --workspace --bins </dev/null

clean_up=true
if [[ ! -e .local/test/test.env ]]; then clean_up='"$here/test-stack.sh" down'; fi
# shellcheck disable=SC2064 # Decided now: what is running before us is not ours to stop.
trap "trap '' INT TERM HUP; end_interruptible; $clean_up" EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"$here/test-stack.sh" up
# shellcheck source=/dev/null
. .local/test/test.env

outcome=0
if cargo nextest --version >/dev/null 2>&1; then
  interruptible cargo nextest run --workspace --no-fail-fast </dev/null || outcome=$?
else
  say "cargo-nextest is not installed; using cargo test"
  interruptible cargo test --workspace --lib --bins --tests --no-fail-fast </dev/null || outcome=$?
fi
interruptible cargo test --doc --workspace </dev/null || outcome=$?
# Last and alone: it wants the machine. Another seed each time; it prints the one that it took.
MINUTES=${MINUTES:-2} interruptible "$here/chaos.sh" || outcome=$?
exit "$outcome"
