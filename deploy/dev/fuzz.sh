#!/usr/bin/env bash
# Fuzzes every parser that reads what strangers send, each for a minute, and says which ones broke.
# Usage: fuzz.sh [TARGET...]      the targets are the files of crates/fuzz/targets/targets; all of them unless named
#   SECONDS_EACH=600              for how long each is fuzzed
#
# What is found along the way stays in .local/fuzz/corpus and is where the next run begins; an input that breaks a
# target lies in .local/fuzz/artifacts. Copy it into crates/fuzz/corpus/TARGET when you repair what it broke.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"

cd "$here/../.."
type -P cargo >/dev/null || die "Rust is not installed" "install it from https://rustup.rs, then run this again"
seconds=${SECONDS_EACH:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "SECONDS is '$seconds'" "give a whole number of seconds, such as 60"

known=()
for file in crates/fuzz/targets/targets/*.rs; do known+=("$(basename "$file" .rs)"); done
targets=("$@")
if ((${#targets[@]} == 0)); then targets=("${known[@]}"); fi
for target in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $target "* ]] || die "there is no target '$target'" "give some of: ${known[*]}"
done

"$here/install.sh" # The linker.
fuzz=$PWD/.local/fuzz
mkdir -p "$fuzz/artifacts"
export PATH=$fuzz/bin:$PATH
if ! cargo fuzz --version >/dev/null 2>&1; then
  say "Installing cargo-fuzz into .local (about a minute)"
  cargo install --quiet --locked --root "$fuzz" cargo-fuzz </dev/null
fi

# The sanitizer of memory needs a nightly compiler, or one that is told to be: nothing that ships is built here.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$fuzz/target
cargo_fuzz() {
  local command=$1
  shift
  cargo fuzz "$command" --fuzz-dir crates/fuzz/targets "$@" </dev/null
}

cargo_fuzz build >"$fuzz/build.log" 2>&1 || { show_log "$fuzz/build.log"; die "the fuzzer could not be built"; }

broken=()
for target in "${targets[@]}"; do
  mkdir -p "$fuzz/corpus/$target"
  log=$fuzz/$target.log
  # Bounds per input: 10 s, and 1 GB of memory. Inputs of 4 KB reach everything that these parsers have.
  if cargo_fuzz run "$target" "$fuzz/corpus/$target" "crates/fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="$fuzz/artifacts/$target-" >"$log" 2>&1; then
    say "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
  else
    broken+=("$target")
    show_log "$log"
    say "$target: BROKEN; see .local/fuzz/$target.log and .local/fuzz/artifacts"
  fi
done

if ((${#broken[@]})); then die "broken: ${broken[*]}" "each log ends with what broke it"; fi
