#!/usr/bin/env bash
# Runs every receiver of the guide (docs/receiving) in every language, Go included, which `make test` leaves out: it takes
# 475 MB. Needs no servers.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"

cd "$here/../.."
type -P cargo >/dev/null || die "Rust is not installed" "install it from https://rustup.rs, then run this again"
"$here/install.sh" peers languages go
cargo test -p plumbline-testkit --test receiving -- --include-ignored </dev/null
