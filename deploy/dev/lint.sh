#!/usr/bin/env bash
# Everything that can be found wrong without running it. All checks run, so that one round shows all.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"

cd "$here/../.."
type -P cargo >/dev/null || die "Rust is not installed" "install it from https://rustup.rs, then run this again"
"$here/install.sh" # The linker: clippy runs build scripts.

failed=()
check() {
  say "--- $*"
  "$@" </dev/null || failed+=("$*")
}

check cargo fmt --all --check
check cargo fmt --manifest-path crates/testkit/tests/peers/crates/Cargo.toml --check
check cargo fmt --manifest-path crates/fuzz/targets/Cargo.toml --check
check cargo clippy --workspace --all-targets --locked -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  check cargo deny check bans licenses sources
else
  say "--- skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"
fi

scripts=(deploy/checks/*.sh deploy/checks/lib/*.sh deploy/dev/*.sh deploy/dev/lib/*.sh .ci/run)
for script in "${scripts[@]}"; do
  bash -n "$script" || failed+=("bash -n $script")
done
if type -P shellcheck >/dev/null; then
  # Without what it says of variables that are read by name or come from the script that sources a part.
  check shellcheck --severity=warning --exclude=SC2034,SC2154 --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
else
  say "--- skipped: shellcheck is not installed"
fi

if ((${#failed[@]})); then
  say "failed:"
  for each in "${failed[@]}"; do say "  $each"; done
  exit 1
fi
