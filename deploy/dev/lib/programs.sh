# shellcheck shell=bash
# Sourced: where the servers' programs are on this machine. Each function prints a directory or fails.

# PostgreSQL's server programs. A name in PATH is not enough: it may be a wrapper, a broken link, or the
# client alone, so a candidate counts only if its server runs and its initdb lies beside it.
# postgres_bin [MAJOR] prefers the version that made the data, because no other one can read it.
postgres_bin() {
  local candidate found
  for candidate in ${1:+"/usr/lib/postgresql/$1/bin" "/usr/pgsql-$1/bin"} \
    $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV) \
    "$(found=$(type -P postgres) && dirname "$(readlink -f "$found")")" \
    /usr/local/pgsql/bin /usr/lib/postgresql/bin; do
    if [[ -x $candidate/postgres && -x $candidate/initdb && -x $candidate/pg_isready && -x $candidate/psql ]] &&
      "$candidate/postgres" --version >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# RabbitMQ's own scripts. Debian's /usr/sbin/rabbitmq-server is a wrapper that changes to the user
# rabbitmq and its system-wide directories, so we look behind it.
rabbitmq_bin() {
  local candidate found
  for candidate in /usr/lib/rabbitmq/bin /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin /opt/rabbitmq/sbin \
    "$(found=$(type -P rabbitmq-server) && dirname "$(readlink -f "$found")")"; do
    if [[ -x $candidate/rabbitmq-server && -x $candidate/rabbitmq-env ]] && erlang_epmd >/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# Erlang's name server. A machine may have the one of the runtime without a link in PATH.
erlang_epmd() {
  local candidate
  for candidate in "$(type -P epmd)" /usr/lib/erlang/bin/epmd /usr/lib/erlang/erts-*/bin/epmd \
    /usr/lib64/erlang/erts-*/bin/epmd; do
    if [[ -x $candidate ]]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# A browser for the console's tests. A name in PATH is not enough: it may be a wrapper for what is not there.
browser_bin() {
  local candidate
  for candidate in ${PLUMBLINE_CHROMIUM:+"$PLUMBLINE_CHROMIUM"} chromium chromium-browser google-chrome; do
    if candidate=$(type -P "$candidate") && "$candidate" --version >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# Where cargo puts binaries: not always ./target, a caller may share one between checkouts.
release_bin() {
  target_directory /release
}

debug_bin() {
  target_directory /debug
}

target_directory() {
  cargo metadata --format-version 1 --no-deps 2>/dev/null |
    grep -o '"target_directory":"[^"]*"' | head -n 1 | sed "s|.*:\"\(.*\)\"|\1$1|"
}
