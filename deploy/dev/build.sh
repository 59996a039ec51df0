#!/usr/bin/env bash
# Builds the release binaries: the three that are shipped, with the web console in the API, and the sample receiver.
# CONSOLE=no leaves the console out, and needs no Node.js. With --all, also what only measures and breaks it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"

cd "$here/../.."
type -P cargo >/dev/null || die "Rust is not installed" "install it from https://rustup.rs, then run this again"
"$here/install.sh" # The linker.
# The services do all their work without the console: where it cannot be built, that is no reason not to have them.
if [[ ${CONSOLE-} == no ]]; then
  say "The web console is left out (CONSOLE=no)"
elif ! "$here/console.sh" build; then
  say "The web console could not be built: the API will show a page that says so. CONSOLE=no leaves it out"
fi
umask 022 # Whoever calls us may keep his own files private; binaries are not.
if [[ ${1-} == --all ]]; then
  chosen=(--workspace --bins)
else
  chosen=(-p plumbline-api -p plumbline-dispatcher -p plumbline-cli -p plumbline-testkit
    --bin plumbline-api --bin plumbline-dispatcher --bin plumbline --bin plumbline-sample-receiver)
  say "Building the services (the first time it takes ten minutes or more on two cores)"
fi
cargo build --release --locked "${chosen[@]}" </dev/null
