# shellcheck shell=bash
# Sourced: background processes that outlive the script which started them, and knowing them again.
#
# A pid alone proves nothing: after a crash or a reboot it may belong to somebody else. So a pid file
# holds the pid and the process's start time, and only a process that matches both is ever signalled.
# A pid file that matches nothing is simply stale.

# The start time of a live process in clock ticks since boot. Fails for a zombie: it no longer runs,
# even where nobody collects it (in a container whose first process is not an init).
start_time() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The second field is the command in parentheses and may contain anything, so we count from its end.
  read -ra fields <<<"${stat##*) }"
  if [[ ${fields[0]} == Z || ${fields[0]} == X ]]; then return 1; fi
  printf '%s\n' "${fields[19]}" 2>/dev/null # An interrupted caller no longer listens.
}

# remember PIDFILE PID
remember() {
  printf '%s %s\n' "$2" "$(start_time "$2" || echo gone)" >"$1"
}

# Prints the pid from a pid file if that very process is still alive.
running_pid() {
  local pid started
  [[ -r $1 ]] && read -r pid started <"$1" && [[ $pid =~ ^[0-9]+$ ]] || return 1
  [[ $(start_time "$pid") == "$started" ]] || return 1
  printf '%s\n' "$pid"
}

# launch PIDFILE LOG COMMAND...
#
# In a session of its own: Ctrl-C in the terminal that ran make must not reach it. It inherits no lock
# (descriptor 9, see hold_lock), or a daemon would hold it for as long as it lives.
launch() {
  local pidfile=$1 log=$2
  shift 2
  # A pipeline-free background job is never a group leader here, so setsid does not fork: $! is the command.
  setsid nohup "$@" </dev/null >>"$log" 2>&1 9>&- &
  remember "$pidfile" $!
}

# within SECONDS COMMAND... : repeats the command until it succeeds or the time is up.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS >= deadline)); then return 1; fi
    sleep 0.1
  done
}

process_is_gone() {
  ! start_time "$1" >/dev/null
}

# stop_process PIDFILE SIGNAL SECONDS : asks with the signal, waits, and insists with SIGKILL.
stop_process() {
  local pidfile=$1 signal=$2 patience=$3 pid
  if pid=$(running_pid "$pidfile"); then
    kill -s "$signal" "$pid" 2>/dev/null || true
    if ! within "$patience" process_is_gone "$pid"; then
      say "process $pid did not stop within $patience s; killing it"
      kill -s KILL "$pid" 2>/dev/null || true
      within 10 process_is_gone "$pid" || die "process $pid survives SIGKILL" "look at it with: ps -o pid,stat,wchan,args -p $pid"
    fi
  fi
  rm -f "$pidfile"
}

# interruptible COMMAND... : bash handles a signal only when its foreground command has ended, which for a
# build may be minutes from now. While it waits for a background one, it handles signals at once; the
# trap is then to call end_interruptible. The command keeps our stdin: sudo may have to ask.
interruptible_pid=
interruptible() {
  local outcome=0
  "$@" <&0 &
  interruptible_pid=$!
  wait "$interruptible_pid" || outcome=$?
  interruptible_pid=
  return "$outcome"
}

# A background command of a script ignores SIGINT, and so does all that it starts: Ctrl-C does not
# reach them. So each is asked by itself, parents first, lest they go on with their next command.
end_interruptible() {
  local family=$interruptible_pid generation=$interruptible_pid pid
  while [[ -n $generation ]]; do
    # A process may be gone by now.
    generation=$(for pid in $generation; do cat "/proc/$pid/task/"*/children 2>/dev/null || true; done)
    family+=" $generation"
  done
  for pid in $family; do kill -s TERM "$pid" 2>/dev/null || true; done
  for pid in $family; do within 10 process_is_gone "$pid" || true; done
  interruptible_pid=
}

# hold_lock FILE : one script at a time; released by the kernel when this script ends, however it ends.
hold_lock() {
  exec 9>"$1"
  if ! flock -n 9; then
    say "waiting for another run that holds $1"
    flock -w 900 9 || die "another run has held $1 for 15 minutes" "see what it does with: fuser -v $1"
  fi
}
