#!/usr/bin/env bash
# One private PostgreSQL whose whole state is in DIR.
#
#   database.sh start DIR [setting=value ...]   start it, if it does not run; make it first, if it is new
#   database.sh stop  DIR                       stop it and keep the data
#   database.sh kill  DIR                       SIGKILL the postmaster, as a crash would
#   database.sh wipe  DIR                       with the server stopped, remove the data
#   database.sh copy  DIR PRIMARY               make DIR a standby of the server in PRIMARY, which runs; then start it
#
# DIR/database.env then has DATABASE_URL and PID. The port and the password are chosen once and kept in
# DIR/identity.env, so it comes back at the same URL. It listens on 127.0.0.1 only and asks for the
# password; there is no Unix socket, whose path would be too long for many a checkout.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"
. "$here/lib/state.sh"
. "$here/lib/ports.sh"
. "$here/lib/process.sh"
. "$here/lib/programs.sh"

usage="usage: database.sh start|stop|kill|wipe DIR [setting=value ...], or database.sh copy DIR PRIMARY"
verb=${1-} dir=${2-}
[[ -n $verb && -n $dir ]] || die "$usage"
dir=$(readlink -m "$dir") # We change directories on the way.
shift 2

# PostgreSQL refuses to run as root, so root lends it another account; everybody else runs it as himself.
as_owner=()
owner=
if ((EUID == 0)); then
  owner=postgres
  id -u "$owner" >/dev/null 2>&1 || owner=nobody
  as_owner=(setpriv --reuid="$(id -u "$owner")" --regid="$(id -g "$owner")" --clear-groups --)
fi

start() {
  make_state_dir "$dir"
  hold_lock "$dir/lock"
  local bin
  bin=$(postgres_bin "$(cat "$dir/data/PG_VERSION" 2>/dev/null || true)") ||
    die "no working PostgreSQL server found" "install one with: $here/install.sh database"

  local pid
  if pid=$(postmaster_pid) && within 30 accepts "$bin"; then
    publish "$pid"
    return
  fi
  [[ -z $pid ]] || stop_process "$dir/pid" QUIT 10 # Alive and deaf: an interrupted start, or worse.
  create_data "$bin"

  local round
  for round in 1 2 3; do
    choose_port
    run "$bin" "$@"
    pid=$(postmaster_pid) || true
    # Replaying much WAL after a kill takes its time, so the patience is long.
    if [[ -n $pid ]] && within 300 accepts_or_died "$bin" && postmaster_pid >/dev/null; then
      publish "$pid"
      return
    fi
    stop_process "$dir/pid" QUIT 10
    # Two failures pass: somebody was faster at the port, and children of a killed postmaster that have
    # not noticed yet. They hold the shared memory for a moment.
    sleep "$round"
  done
  show_log "$dir/postgres.log"
  die "PostgreSQL in $dir does not start" "its log is above; to begin with empty data: $here/database.sh wipe $dir"
}

# The port and password of this server, for as long as its DIR lives.
identity() {
  port='' password=''
  # shellcheck source=/dev/null
  if [[ -r $dir/identity.env ]]; then . "$dir/identity.env"; fi
}

choose_port() {
  identity
  # After a kill the old listener goes away a moment later.
  if [[ -n $port ]] && within 3 port_is_free "$port"; then return; fi
  [[ -z $port ]] || say "port $port of the database in $dir is taken by another process; choosing another one"
  port=$(free_ports 1)
  assignments port password | replace_file "$dir/identity.env"
}

# Made under another name and renamed when complete: what exists is whole.
create_data() {
  [[ -e $dir/data/PG_VERSION ]] && return
  local bin=$1 place
  say "creating a private PostgreSQL $("$bin/postgres" --version | grep -o '[0-9.]*' | head -n 1) in $dir"
  wipe_data
  identity
  password=$(random_secret 16)
  assignments port password | replace_file "$dir/identity.env"

  place=$(data_place)
  mkdir "$place/data.new"
  printf '%s\n' "$password" >"$place/data.new.password"
  if [[ -n $owner ]]; then chown "$owner" "$place/data.new" "$place/data.new.password"; fi
  # Locale C because it is the same everywhere.
  owned "$bin/initdb" --pgdata="$place/data.new" --username=plumbline --pwfile="$place/data.new.password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C >"$dir/initdb.log" 2>&1 ||
    { show_log "$dir/initdb.log"; die "initdb failed" "see above"; }
  rm -f "$place/data.new.password"
  # In single-user mode, because that needs no server and no password.
  owned "$bin/postgres" --single -D "$place/data.new" postgres <<<'CREATE DATABASE plumbline' >>"$dir/initdb.log" 2>&1 ||
    { show_log "$dir/initdb.log"; die "the database could not be created" "see above"; }
  mv "$place/data.new" "$place/data"
  if [[ $place != "$dir" ]]; then ln -sfn "$place/data" "$dir/data"; fi
}

# A standby is a copy of its primary, password included, and follows it through a replication slot of its own.
copy() {
  local primary=$1 bin place primary_port
  make_state_dir "$dir"
  hold_lock "$dir/lock"
  [[ ! -e $dir/data/PG_VERSION ]] || die "$dir has data of its own" "give an empty directory"
  bin=$(postgres_bin "$(cat "$primary/data/PG_VERSION" 2>/dev/null || true)") ||
    die "no working PostgreSQL server found" "install one with: $here/install.sh database"
  port='' password=''
  # shellcheck source=/dev/null
  . "$primary/identity.env" || die "there is no server in $primary" "make one with: $here/database.sh start $primary"
  primary_port=$port port=
  assignments port password | replace_file "$dir/identity.env"

  place=$(data_place)
  mkdir "$place/data"
  chmod 700 "$place/data"
  if [[ -n $owner ]]; then chown "$owner" "$place/data"; fi
  (cd / && unset "${!PG@}" && PGPASSWORD=$password LC_ALL=C "${as_owner[@]}" \
    "$bin/pg_basebackup" --host=127.0.0.1 --port="$primary_port" --username=plumbline --no-password \
    --pgdata="$place/data" --wal-method=stream --checkpoint=fast --write-recovery-conf \
    --create-slot --slot="standby_$(random_secret 4)") >"$dir/copy.log" 2>&1 ||
    { show_log "$dir/copy.log"; die "the server in $primary could not be copied" "see above"; }
  if [[ $place != "$dir" ]]; then ln -sfn "$place/data" "$dir/data"; fi
}

# Prints where the data can live: in DIR, or, when root's checkout is somewhere that the lent account
# cannot reach (below /root, say), in a directory of its own in /var/tmp. DIR/data is then a link to it,
# by which `wipe` finds it again.
data_place() {
  if owned test -x "$dir"; then
    printf '%s\n' "$dir"
  else
    local place
    place=$(mktemp -d /var/tmp/plumbline-postgres.XXXXXXXX)
    chmod 711 "$place"
    say "the account $owner cannot reach $dir, so its data are in $place"
    printf '%s\n' "$place"
  fi
}

# The caller's environment may hold PG* variables meant for other servers.
owned() {
  (cd / && env -i PATH="$PATH" LC_ALL=C "${as_owner[@]}" "$@")
}

run() {
  local bin=$1 setting settings=()
  shift
  forget_stale_postmaster
  # Development runs many connections on one machine; plans are short, so compiling them never pays.
  for setting in max_connections=200 shared_buffers=256MB max_wal_size=2GB jit=off "$@"; do
    settings+=(-c "$setting")
  done
  launch "$dir/pid" "$dir/postgres.log" env -i PATH="$PATH" LC_ALL=C "${as_owner[@]}" \
    "$bin/postgres" -D "$(readlink -f "$dir/data")" -c "port=$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c "log_line_prefix=%m [%p] " "${settings[@]}"
}

# The pid of our postmaster: the one that we launched, or one that somebody restarted by hand (pg_ctl).
# A postmaster's working directory is its data directory, which makes that certain.
postmaster_pid() {
  local pid
  if running_pid "$dir/pid"; then return; fi
  pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null) && [[ $(working_directory "$pid") == "$(readlink -f "$dir/data")" ]] ||
    return 1
  remember "$dir/pid" "$pid"
  printf '%s\n' "$pid"
}

# Asked as the owner: in a container, root may not look into other accounts' processes.
working_directory() {
  owned readlink "/proc/$1/cwd" 2>/dev/null
}

# PostgreSQL takes any live process with the number in its stale pid file for a server. After a reboot
# that is often somebody else, so the file goes; the shared memory still guards the data.
forget_stale_postmaster() {
  local pid
  if pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null) && [[ $(working_directory "$pid") != "$(readlink -f "$dir/data")" ]]; then
    rm -f "$dir/data/postmaster.pid"
  fi
}

accepts() {
  identity
  owned "$1/pg_isready" --quiet --timeout=2 --host=127.0.0.1 --port="$port"
}

accepts_or_died() {
  accepts "$1" || ! postmaster_pid >/dev/null
}

publish() {
  identity
  local DATABASE_URL="postgres://plumbline:$password@127.0.0.1:$port/plumbline" PID=$1
  assignments DATABASE_URL PID | replace_file "$dir/database.env"
}

stop() {
  [[ -d $dir ]] || return 0
  hold_lock "$dir/lock"
  postmaster_pid >/dev/null || true
  # SIGINT is the fast shutdown: clients are disconnected, everything is written.
  stop_process "$dir/pid" INT 60
}

kill_at_once() {
  [[ -d $dir ]] || return 0
  hold_lock "$dir/lock"
  postmaster_pid >/dev/null || true
  stop_process "$dir/pid" KILL 10
}

wipe() {
  [[ -d $dir ]] || return 0
  hold_lock "$dir/lock"
  if postmaster_pid >/dev/null; then die "PostgreSQL in $dir is running" "stop it first: $here/database.sh stop $dir"; fi
  wipe_data
}

wipe_data() {
  local data
  if [[ -L $dir/data ]]; then
    data=$(readlink "$dir/data")
    rm -f "$dir/data"
    if [[ $data == /var/tmp/plumbline-postgres.*/data ]]; then rm -rf "$(dirname "$data")"; fi
  fi
  rm -rf "$dir/data" "$dir/data.new" "$dir/data.new.password" "$dir/database.env"
}

case $verb in
  start) start "$@" ;;
  stop) stop ;;
  kill) kill_at_once ;;
  wipe) wipe ;;
  copy)
    [[ -n ${1-} ]] || die "$usage"
    copy "$(readlink -m "$1")"
    ;;
  *) die "$usage" ;;
esac
