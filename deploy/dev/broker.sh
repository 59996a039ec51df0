#!/usr/bin/env bash
# One private RabbitMQ whose whole state is in DIR.
#
#   broker.sh start DIR   start it, if it does not run; returns when AMQP and the management API answer
#   broker.sh stop  DIR   stop it, and its epmd, and keep the data
#   broker.sh halt  DIR   stop the broker alone, as for an update: its epmd stays
#   broker.sh kill  DIR   SIGKILL the Erlang VM, as a crash would
#   broker.sh wipe  DIR   with the broker stopped, remove its data: queues, messages, users, vhosts
#   broker.sh control DIR COMMAND...   run a command of rabbitmqctl on it
#   broker.sh prepare DIR [FIRST]   choose who it will be, start its epmd, and let it share the cookie and the password of
#                                   the broker in FIRST, so that they may form a cluster; the caller configures that
#
# Files DIR/conf.d/*.conf, if there are any, add to its configuration, and DIR/erl.args to its VM's arguments.
# DIR/broker.env then has AMQP_URL, MANAGEMENT_URL, PROMETHEUS_URL and PID (of the Erlang VM itself).
# Name, ports and password are chosen once and kept in DIR/identity.env, so it comes back at the same
# URL. Works with RabbitMQ 3.10 and 4.x. Only `control` calls rabbitmqctl, which takes seconds.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"
. "$here/lib/state.sh"
. "$here/lib/ports.sh"
. "$here/lib/process.sh"
. "$here/lib/programs.sh"

usage="usage: broker.sh start|stop|halt|kill|wipe DIR, broker.sh control DIR COMMAND..., or broker.sh prepare DIR [FIRST]"
verb=${1-} dir=${2-}
[[ -n $verb && -n $dir ]] || die "$usage"
dir=$(readlink -m "$dir") # The VM gets these paths and has a working directory of its own.

start() {
  make_state_dir "$dir"
  hold_lock "$dir/lock"
  local bin
  bin=$(rabbitmq_bin) || die "no RabbitMQ server found" "install one with: $here/install.sh broker"

  local pid
  if pid=$(vm_pid) && within 60 answers_or_died && answers; then
    publish
    return
  fi
  [[ -z $pid ]] || stop_process "$dir/pid" KILL 10 # Alive and deaf: an interrupted start, or worse.
  [[ -d $dir/mnesia ]] || say "creating a private RabbitMQ in $dir"

  local round
  for round in 1 2 3; do
    choose_ports
    write_configuration
    run "$bin"
    # Recovering a million parked messages took 18 s, so the patience is long.
    if within 180 answers_or_died && answers; then
      publish
      return
    fi
    stop_process "$dir/pid" KILL 10
    stop_process "$dir/epmd.pid" TERM 5
    sleep "$round" # Somebody was faster at one of the ports: the next round chooses again.
  done
  show_log "$dir/rabbitmq.log"
  die "RabbitMQ in $dir does not start" "its log is above; to begin with empty data: $here/broker.sh wipe $dir"
}

prepare() {
  local first=$1
  make_state_dir "$dir"
  hold_lock "$dir/lock"
  mkdir -p "$dir/home"
  choose_ports
  if [[ -n $first ]]; then
    # shellcheck source=/dev/null
    password=$(. "$first/identity.env" && printf '%s' "$password")
    cp -f "$first/home/.erlang.cookie" "$dir/home/.erlang.cookie"
    assignments node password "${port_names[@]}" | replace_file "$dir/identity.env"
  else
    random_secret 16 | replace_file "$dir/home/.erlang.cookie"
  fi
  chmod 400 "$dir/home/.erlang.cookie" # Erlang believes in no other.
  start_epmd
}

port_names=(amqp_port management_port prometheus_port distribution_port epmd_port)

# Who this broker is, for as long as its DIR lives.
identity() {
  node='' password='' amqp_port='' management_port='' prometheus_port='' distribution_port='' epmd_port=''
  # shellcheck source=/dev/null
  if [[ -r $dir/identity.env ]]; then . "$dir/identity.env"; fi
}

choose_ports() {
  identity
  if [[ -z $node ]]; then
    node=plumbline-$(random_secret 4)@localhost
    password=$(random_secret 16)
  fi
  local name fresh i=0
  # A port of ours that somebody else took while we were down is replaced; the others stay. Our own epmd
  # survives a killed VM and rightly holds its port.
  for name in "${port_names[@]}"; do
    if [[ $name == epmd_port && -n $epmd_port ]] && running_pid "$dir/epmd.pid" >/dev/null; then continue; fi
    if [[ -n ${!name} ]] && within 3 port_is_free "${!name}"; then continue; fi
    [[ -z ${!name} ]] || say "port ${!name} of the broker in $dir is taken by another process; choosing another one"
    printf -v "$name" '%s' ''
  done
  read -ra fresh <<<"$(free_ports ${#port_names[@]})"
  for name in "${port_names[@]}"; do
    if [[ -z ${!name} ]]; then printf -v "$name" '%s' "${fresh[i++]}"; fi
  done
  assignments node password "${port_names[@]}" | replace_file "$dir/identity.env"
}

write_configuration() {
  mkdir -p "$dir/home" "$dir/log" "$dir/mnesia"
  replace_file "$dir/rabbitmq.conf" <<-EOF_CONF
	listeners.tcp.1 = 127.0.0.1:$amqp_port
	management.tcp.ip = 127.0.0.1
	management.tcp.port = $management_port
	prometheus.tcp.ip = 127.0.0.1
	prometheus.tcp.port = $prometheus_port
	default_user = plumbline
	default_pass = $password
	default_user_tags.administrator = true
	# The default stops all publishing below 50 MB or more, depending on the version; say it once.
	disk_free_limit.absolute = 50MB
	EOF_CONF
  # With the default of 180 s, a message that expires while the broker starts again can stall that long.
  replace_file "$dir/advanced.config" <<-'EOF_CONF'
	[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000},
	           {dead_letter_worker_consumer_prefetch, 256}]}].
	EOF_CONF
  replace_file "$dir/enabled_plugins" <<<'[rabbitmq_management,rabbitmq_prometheus].'
}

# The VM would start an epmd by itself, but then we would not know its pid to end it with the stack.
start_epmd() {
  if running_pid "$dir/epmd.pid" >/dev/null; then return; fi
  launch "$dir/epmd.pid" "$dir/epmd.log" env -i PATH="$PATH" HOME="$dir/home" \
    "$(erlang_epmd)" -port "$epmd_port" -address 127.0.0.1
  within 10 port_is_taken "$epmd_port" || die "epmd does not start; see $dir/epmd.log"
}

# Everything by explicit variables and nothing from the caller: neither his RABBITMQ_* variables nor the
# system's /etc/rabbitmq may reach a private broker, nor this one their directories.
run() {
  local bin=$1 environment arguments=''
  if [[ -r $dir/erl.args ]]; then arguments=$(<"$dir/erl.args"); fi
  environment=(PATH="$PATH" HOME="$dir/home" LC_ALL=C.UTF-8
    ERL_CRASH_DUMP="$dir/erl_crash.dump" # By default in the working directory: the caller's.
    ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1)

  start_epmd

  environment+=(
    RABBITMQ_NODENAME="$node"
    RABBITMQ_DIST_PORT="$distribution_port"
    RABBITMQ_MNESIA_BASE="$dir/mnesia"
    RABBITMQ_LOG_BASE="$dir/log"
    RABBITMQ_PID_FILE="$dir/rabbitmq.pid"
    RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf"
    RABBITMQ_CONFIG_FILES="$dir/conf.d/*.conf"
    RABBITMQ_ADVANCED_CONFIG_FILE="$dir/advanced.config"
    RABBITMQ_CONF_ENV_FILE="$dir/rabbitmq-env.conf"
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins"
    RABBITMQ_GENERATED_CONFIG_DIR="$dir/generated"
    RABBITMQ_SCHEMA_DIR="$dir/schema"
    # On shared cores, schedulers that spin while idle take time from everybody else.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1} $arguments"
    # Has the start script replace itself by the VM, with no shell in between: the pid is the VM's.
    RUNNING_UNDER_SYSTEMD=true
  )
  : >"$dir/rabbitmq.log"
  rm -f "$dir/rabbitmq.pid"
  launch "$dir/pid" "$dir/rabbitmq.log" env -i "${environment[@]}" "$bin/rabbitmq-server"
}

# The pid of our Erlang VM: the one that we launched, or the one that RabbitMQ wrote down itself, if our
# record was lost; its HOME, which is also among its arguments, tells that it is ours.
vm_pid() {
  local pid
  if running_pid "$dir/pid"; then return; fi
  pid=$(cat "$dir/rabbitmq.pid" 2>/dev/null) && cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' '\n' | grep -qxF "$dir/home" ||
    return 1
  remember "$dir/pid" "$pid"
  printf '%s\n' "$pid"
}

# The management API is up and the AMQP listener too: plug-ins start before it, so we ask for both.
answers() {
  identity
  local status
  status=$(management_get "/api/health/checks/port-listener/$amqp_port" 2>/dev/null) && [[ $status == *'"ok"'* ]]
}

answers_or_died() {
  answers || ! vm_pid >/dev/null
}

# The password goes through stdin: a command line is for everybody to read.
management_get() {
  curl --config - <<-EOF_CURL
	silent
	fail
	noproxy = "*"
	max-time = 5
	user = "plumbline:$password"
	url = "http://127.0.0.1:$management_port$1"
	EOF_CURL
}

publish() {
  identity
  local pid
  # Should a version's start script not replace itself, this is the VM and what we launched a shell.
  if pid=$(cat "$dir/rabbitmq.pid" 2>/dev/null) && start_time "$pid" >/dev/null; then remember "$dir/pid" "$pid"; fi
  local AMQP_URL="amqp://plumbline:$password@127.0.0.1:$amqp_port/%2f" \
    MANAGEMENT_URL="http://plumbline:$password@127.0.0.1:$management_port" \
    PROMETHEUS_URL="http://127.0.0.1:$prometheus_port" PID
  PID=$(vm_pid)
  assignments AMQP_URL MANAGEMENT_URL PROMETHEUS_URL PID | replace_file "$dir/broker.env"
}

stop() {
  [[ -d $dir ]] || return 0
  hold_lock "$dir/lock"
  vm_pid >/dev/null || true
  stop_process "$dir/pid" TERM 60
  stop_process "$dir/epmd.pid" TERM 5
}

halt() {
  [[ -d $dir ]] || return 0
  hold_lock "$dir/lock"
  vm_pid >/dev/null || true
  stop_process "$dir/pid" TERM 60
}

kill_at_once() {
  [[ -d $dir ]] || return 0
  hold_lock "$dir/lock"
  vm_pid >/dev/null || true
  stop_process "$dir/pid" KILL 10
}

wipe() {
  [[ -d $dir ]] || return 0
  hold_lock "$dir/lock"
  if vm_pid >/dev/null; then die "RabbitMQ in $dir is running" "stop it first: $here/broker.sh stop $dir"; fi
  rm -rf "$dir/mnesia" "$dir/generated" "$dir/schema" "$dir/broker.env"
}

# By the same rules as `run`: nothing from the caller or the system reaches it.
control() {
  local bin
  bin=$(rabbitmq_bin) || die "no RabbitMQ found" "install one with: $here/install.sh broker"
  vm_pid >/dev/null || die "RabbitMQ in $dir is not running" "start it first: $here/broker.sh start $dir"
  identity
  (cd / && env -i PATH="$PATH" HOME="$dir/home" LC_ALL=C.UTF-8 ERL_CRASH_DUMP=/dev/null \
    ERL_EPMD_PORT="$epmd_port" RABBITMQ_NODENAME="$node" RABBITMQ_CONF_ENV_FILE="$dir/rabbitmq-env.conf" \
    RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_MNESIA_BASE="$dir/mnesia" \
    "$bin/rabbitmqctl" --quiet --timeout 60 "$@")
}

case $verb in
  control) control "${@:3}" ;;
  prepare) prepare "${3:+$(readlink -m "$3")}" ;;
  start) start ;;
  stop) stop ;;
  halt) halt ;;
  kill) kill_at_once ;;
  wipe) wipe ;;
  *) die "$usage" ;;
esac
