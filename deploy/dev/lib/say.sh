# shellcheck shell=bash
# Sourced: how these scripts talk to the person who runs them.

# Progress goes to stderr: stdout is for what a caller may want to read or pipe.
say() {
  printf '%s\n' "$*" >&2
}

# The first argument says what is wrong, the next ones what to do about it.
die() {
  printf 'error: %s\n' "$1" >&2
  shift
  if (($#)); then printf '       %s\n' "$@" >&2; fi
  exit 1
}

# The end of a log, when what wrote it did not come up.
show_log() {
  if [[ -s $1 ]]; then
    say "--- the last lines of $1"
    tail -n 25 "$1" >&2
    say "---"
  fi
}
