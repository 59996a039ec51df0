# shellcheck shell=bash
# Sourced after stack.sh: the API, the dispatchers and the sample receiver as background processes.
#
# A service NAME has in .local/run: NAME.pid, NAME.env (the environment that it was started with) and
# NAME.wanted (the one that it should have).

# want_service NAME BINARY VARIABLE... : the last ones by name, with their values now.
# The binary's identity is part of it: after a rebuild, what runs is no longer what was asked for.
want_service() {
  local name=$1 binary=$2
  shift 2
  {
    printf '# %s %s\n' "$binary" "$(stat -L -c '%i %Y %s' "$binary")"
    assignments "$@"
  } | replace_file "$stack/run/$name.wanted"
}

service_pid() {
  running_pid "$stack/run/$1.pid"
}

service_is_as_wanted() {
  service_pid "$1" >/dev/null && cmp -s "$stack/run/$1.env" "$stack/run/$1.wanted"
}

# with_environment FILE COMMAND... : the caller's environment, but of PLUMBLINE_* only what the file says.
with_environment() (
  local file=$1
  shift
  unset "${!PLUMBLINE_@}"
  set -a
  # shellcheck source=/dev/null
  . "$file"
  set +a
  "$@"
)

# start_service NAME BINARY [ARGUMENT...]
start_service() {
  local name=$1
  shift
  mv -f "$stack/run/$name.wanted" "$stack/run/$name.env"
  printf -- '--- started %s\n' "$(date -u +%FT%TZ)" >>"$stack/log/$name.log"
  with_environment "$stack/run/$name.env" launch "$stack/run/$name.pid" "$stack/log/$name.log" "$@"
}

is_ready() {
  curl --silent --fail --noproxy '*' --max-time 3 --output /dev/null "http://127.0.0.1:$1/readyz"
}

# ready_or_died NAME ADMIN_PORT
ready_or_died() {
  is_ready "$2" || ! service_pid "$1" >/dev/null
}

# How long a service may take to stop, in seconds: what it was told that it may drain (25s unless set),
# and a little more.
stop_patience() {
  local drain
  # shellcheck source=/dev/null
  drain=$(. "$stack/run/$1.env" 2>/dev/null && printf '%s' "${PLUMBLINE_DRAIN_TIMEOUT-}") || true
  case $drain in
    *[0-9]ms) echo 6 ;;
    *[0-9]s) drain=${drain%s} && echo $((${drain%%.*} + 5)) ;;
    *[0-9]m) drain=${drain%m} && echo $((${drain%%.*} * 60 + 5)) ;;
    *) echo 30 ;;
  esac
}

# Lets it drain, and forgets it.
stop_service() {
  stop_process "$stack/run/$1.pid" TERM "$(stop_patience "$1")"
  rm -f "$stack/run/$1.env"
}

# stop_services NAME... : all drain at the same time.
stop_services() {
  local name waiting=()
  for name in "$@"; do
    stop_service "$name" &
    waiting+=($!)
  done
  for name in "${waiting[@]}"; do wait "$name"; done
}

# The services that have a pid file, whether they still run or not: prints their names.
known_services() {
  local file
  for file in "$stack"/run/*.pid; do
    if [[ -e $file ]]; then basename "$file" .pid; fi
  done
}
