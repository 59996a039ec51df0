#!/usr/bin/env bash
# Installs the libraries with which receivers verify our signatures, for the tests, below DIR.
# Usage: peers.sh DIR
#
# Nothing outside DIR is touched but by the system's package manager, where Node.js or Python is missing.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"

directory=${1:?usage: peers.sh DIR}
wanted=$(readlink -f "$here/../..")/crates/testkit/tests/peers
"$here/install.sh" peers

mkdir -p "$directory"
stamp=$directory/installed
# What is installed stays until what is wanted changes.
state=$(cat "$wanted"/{package-lock.json,package.json,requirements.txt,crates/Cargo.lock,crates/src/main.rs} | cksum)
if [[ -e $stamp && $(<"$stamp") == "$state" ]]; then exit 0; fi

say "Installing the receivers' libraries for the tests"
cp "$wanted"/{package.json,package-lock.json} "$directory/"
log=$directory/install.log
(cd "$directory" && npm ci --omit-lockfile-registry-resolved --no-audit --no-fund --ignore-scripts </dev/null) >"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; die "npm could not install the receivers' libraries" "see $log, and run this again"; }
rm -rf "$directory/python"
python3 -m pip install --quiet --disable-pip-version-check --no-input --target "$directory/python" \
  --requirement "$wanted/requirements.txt" </dev/null >>"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; die "pip could not install the receivers' libraries" "see $log, and run this again"; }
# Of no workspace and in a directory of its own: it must not change what Plumbline is built with.
CARGO_TARGET_DIR=$directory/target cargo build --locked --manifest-path "$wanted/crates/Cargo.toml" </dev/null >>"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; die "cargo could not build the receivers' libraries" "see $log, and run this again"; }
printf '%s\n' "$state" >"$stamp"
