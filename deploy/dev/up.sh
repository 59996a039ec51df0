#!/usr/bin/env bash
# Starts the development stack of this checkout in the background and returns when it is ready.
#
# Idempotent: what runs, is healthy and is as it should be stays; what died is started again on its
# ports, with its keys and data. Settings: PLUMBLINE_* and DISPATCHERS, see lib/stack.sh.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
for part in say state ports process programs stack services; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

main() {
  cd "$checkout"
  make_stack_dirs
  hold_lock "$stack/lock"
  load_state
  settle_settings

  "$here/build.sh" >&2 9>&- # Without the lock: a compiler may outlive an interrupted run.
  bin=$(release_bin)

  start_servers
  choose_ports
  settle_services
  migrate
  start_services
  make_credentials
  write_dev_env
  say "Plumbline is up at http://127.0.0.1:$api_port with $DISPATCHERS dispatcher(s); its variables are in .local/dev.env"
}

# Private PostgreSQL and RabbitMQ, unless the caller brought his own.
start_servers() {
  local needed=() database='' broker=''
  [[ -n ${PLUMBLINE_DATABASE_URL-} ]] || needed+=(database)
  [[ -n ${PLUMBLINE_AMQP_URL-} ]] || needed+=(broker)
  "$here/install.sh" "${needed[@]}"

  # Together: the broker needs seconds. Full durability here: this stack shows what production does.
  if [[ -z ${PLUMBLINE_DATABASE_URL-} ]]; then
    "$here/database.sh" start "$stack/database" &
    database=$!
  fi
  if [[ -z ${PLUMBLINE_AMQP_URL-} ]]; then
    "$here/broker.sh" start "$stack/broker" &
    broker=$!
  fi
  postgres_pid='' rabbitmq_pid=''
  if [[ -n $database ]]; then
    wait "$database" || die "the private PostgreSQL did not start"
    # shellcheck source=/dev/null
    . "$stack/database/database.env"
    PLUMBLINE_DATABASE_URL=$DATABASE_URL postgres_pid=$PID
  fi
  if [[ -n $broker ]]; then
    wait "$broker" || die "the private RabbitMQ did not start"
    # shellcheck source=/dev/null
    . "$stack/broker/broker.env"
    PLUMBLINE_AMQP_URL=$AMQP_URL rabbitmq_pid=$PID
  fi
}

# settle_port NAME SERVICE : keeps a port that was chosen before, unless a stranger has it now.
settle_port() {
  local name=$1 service=$2
  if [[ -n ${!name} ]]; then
    if service_pid "$service" >/dev/null || port_is_free "${!name}"; then return; fi
    say "port ${!name} of $service is taken by another process; choosing another one"
  fi
  printf -v "$name" '%s' "$(free_ports 1)"
}

choose_ports() {
  local i ports port
  settle_port api_port api
  settle_port api_admin_port api
  read -ra ports <<<"$dispatcher_admin_ports"
  for ((i = 0; i < DISPATCHERS; i++)); do
    port=${ports[i]-}
    settle_port port "dispatcher-$((i + 1))"
    ports[i]=$port
  done
  dispatcher_admin_ports=${ports[*]}
  [[ -n $master_keys ]] || master_keys=dev:$(head -c 32 /dev/urandom | base64 | tr -d '\n')
  save_state
}

# Sets `services` and what each should be started with.
settle_services() {
  # A caller who sets where the API listens gets it there, and we follow.
  local listen=${PLUMBLINE_LISTEN:-127.0.0.1:$api_port} admin=${PLUMBLINE_ADMIN_LISTEN:-127.0.0.1:$api_admin_port}
  api_port=${listen##*:} api_admin_port=${admin##*:}

  PLUMBLINE_MASTER_KEYS=${PLUMBLINE_MASTER_KEYS:-$master_keys}
  PLUMBLINE_PUBLIC_URL=${PLUMBLINE_PUBLIC_URL:-http://127.0.0.1:$api_port}
  # The receivers of a developer are on his own machine and have no certificate.
  PLUMBLINE_ALLOW_HTTP=${PLUMBLINE_ALLOW_HTTP-true}
  PLUMBLINE_ALLOW_NETWORKS=${PLUMBLINE_ALLOW_NETWORKS-127.0.0.0/8,::1/128}

  local i ports
  read -ra ports <<<"$dispatcher_admin_ports"
  services=(api)
  admin_ports=("$api_admin_port")
  PLUMBLINE_LISTEN=$listen PLUMBLINE_ADMIN_LISTEN=$admin
  want_service api "$bin/plumbline-api" "${!PLUMBLINE_@}"
  unset PLUMBLINE_LISTEN
  for ((i = 1; i <= DISPATCHERS; i++)); do
    PLUMBLINE_ADMIN_LISTEN=127.0.0.1:${ports[i - 1]}
    services+=("dispatcher-$i")
    admin_ports+=("${ports[i - 1]}")
    want_service "dispatcher-$i" "$bin/plumbline-dispatcher" "${!PLUMBLINE_@}"
  done
}

migrate() {
  plumbline migrate >/dev/null || die "the migration failed" "see $stack/log/cli.log"
}

# The command line program, in the API's environment. What it logs is kept; its answer is on stdout.
plumbline() {
  local environment=$stack/run/api.wanted
  [[ -e $environment ]] || environment=$stack/run/api.env
  with_environment "$environment" "$bin/plumbline" "$@" 2>>"$stack/log/cli.log" || {
    show_log "$stack/log/cli.log"
    return 1
  }
}

start_services() {
  # From here on the pids that it tells may be wrong; no file is better than pids of strangers.
  trap 'rm -f "$stack/dev.env"' EXIT
  local name i extra=() outdated=()
  for name in $(known_services); do
    if [[ $name == dispatcher-* && " ${services[*]} " != *" $name "* ]]; then extra+=("$name"); fi
  done
  for name in "${services[@]}"; do
    if service_pid "$name" >/dev/null && ! service_is_as_wanted "$name"; then outdated+=("$name"); fi
  done
  ((${#extra[@]} == 0)) || say "stopping ${extra[*]}: no longer asked for"
  ((${#outdated[@]} == 0)) || say "restarting ${outdated[*]}: the settings or the binary changed"
  stop_services "${extra[@]}" "${outdated[@]}"

  for name in "${services[@]}"; do
    if ! service_pid "$name" >/dev/null; then start_wanted "$name"; fi
  done
  for i in "${!services[@]}"; do await_service "${services[i]}" "${admin_ports[i]}"; done
}

start_wanted() {
  case $1 in
    api) start_service api "$bin/plumbline-api" ;;
    *) start_service "$1" "$bin/plumbline-dispatcher" ;;
  esac
}

# A service that was left running gets time to find its servers again, and one fresh start if it does not.
await_service() {
  local name=$1 port=$2
  if within 45 ready_or_died "$name" "$port" && is_ready "$port"; then return; fi
  if [[ -e $stack/run/$name.wanted ]]; then
    say "restarting $name: it was running but does not become ready"
    stop_service "$name"
    start_wanted "$name"
    if within 45 ready_or_died "$name" "$port" && is_ready "$port"; then return; fi
  fi
  show_log "$stack/log/$name.log"
  die "$name does not become ready" "its whole log is $stack/log/$name.log"
}

# A tenant, an API key and a console user: made once, and again if this database does not know them.
# Each is saved as soon as it exists, so an interrupted run goes on where it stopped.
make_credentials() {
  local answer
  if [[ -n $api_key ]]; then
    answer=$(api GET /api/v1/me) || die "the API does not answer" "see $stack/log/api.log"
    case ${answer##*$'\n'} in
      200) ;;
      401) tenant_id='' api_key='' console_email='' console_password='' endpoint_id='' ;;
      *) die "GET /api/v1/me answered ${answer##*$'\n'}" "see $stack/log/api.log" ;;
    esac
  fi
  if [[ -z $tenant_id ]]; then
    tenant_id=$(plumbline tenant create --name Development --json | json_value id)
    save_state
  fi
  if [[ -z $api_key ]]; then
    api_key=$(plumbline api-key create --tenant "$tenant_id" --name development --scopes '*' --json | json_value key)
    save_state
  fi
  if [[ -z $console_email ]]; then
    local email password
    # Another address each time: an interrupted run may have made the last one without learning of it.
    email=admin-$(random_secret 2)@example.com password=$(random_secret 10)
    plumbline user create --tenant "$tenant_id" --email "$email" --role company_admin --password-stdin --json \
      <<<"$password" >/dev/null
    console_email=$email console_password=$password
    save_state
  fi
}

# The contract with the outside. Kept exactly as documented.
write_dev_env() {
  local name pids=()
  for name in "${services[@]}"; do
    if [[ $name == dispatcher-* ]]; then pids+=("$(service_pid "$name")"); fi
  done
  {
    PLUMBLINE_URL=http://127.0.0.1:$api_port
    PLUMBLINE_API_KEY=$api_key
    PLUMBLINE_TENANT_ID=$tenant_id
    PLUMBLINE_BIN=$bin
    PLUMBLINE_API_PID=$(service_pid api)
    PLUMBLINE_DISPATCHER_PIDS=${pids[*]}
    PLUMBLINE_RABBITMQ_PID=$rabbitmq_pid
    PLUMBLINE_POSTGRES_PID=$postgres_pid
    PLUMBLINE_CONSOLE_EMAIL=$console_email
    PLUMBLINE_CONSOLE_PASSWORD=$console_password
  }
  assignments PLUMBLINE_{URL,API_KEY,TENANT_ID,DATABASE_URL,AMQP_URL,MASTER_KEYS,BIN,API_PID,DISPATCHER_PIDS} \
    PLUMBLINE_{RABBITMQ_PID,POSTGRES_PID,CONSOLE_EMAIL,CONSOLE_PASSWORD} | replace_file "$stack/dev.env"
  trap - EXIT
}

main
