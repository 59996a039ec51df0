#!/usr/bin/env bash
# Builds the release binaries: the three that are shipped and the sample receiver.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"

cd "$here/../.."
type -P cargo >/dev/null || die "Rust is not installed" "install it from https://rustup.rs, then run this again"
"$here/install.sh" # The linker.
umask 022 # Whoever calls us may keep his own files private; binaries are not.
cargo build --release --locked --workspace --bins </dev/null
