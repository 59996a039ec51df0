# shellcheck shell=bash
# Sourced: small files of NAME=value lines that survive this script, and the secrets in them.

# Everything these scripts write is for their owner only.
umask 077

# A directory that others may pass through but not list: PostgreSQL, which refuses to run as root, has
# to reach its data below it under another account. The files inside stay private.
make_state_dir() {
  mkdir -p "$1"
  chmod 711 "$1"
}

# random_secret BYTES : hexadecimal, so that it needs no escaping in a URL or a shell.
random_secret() {
  head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# Prints NAME=value for each named variable, quoted for a shell only where it must be, so that simpler
# readers understand the file too.
assignments() {
  local name value
  for name in "$@"; do
    value=${!name-}
    if [[ ! $value =~ ^[A-Za-z0-9_:/@.,=+%-]*$ ]]; then value="'${value//\'/\'\\\'\'}'"; fi
    printf '%s=%s\n' "$name" "$value"
  done
}

# Replaces a file by what comes on stdin, in one step: an interrupted run leaves the old one or the new one.
replace_file() {
  cat >"$1.new"
  mv -f "$1.new" "$1"
}
