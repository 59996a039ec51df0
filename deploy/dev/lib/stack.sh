# shellcheck shell=bash
# Sourced, with $here set: the development stack of this checkout, as far as several scripts know it.
#
#   .local/state.env      what was chosen or made once: ports, master key, tenant, API key, console user
#   .local/settings.env   what callers asked for since the last `make down`
#   .local/dev.env        what the outside needs to use the stack (the contract in docs)
#   .local/database, .local/broker, .local/run (pids and environments of our processes), .local/log

checkout=$(readlink -f "$here/../..")
stack=$checkout/.local

make_stack_dirs() {
  make_state_dir "$stack"
  mkdir -p "$stack/run" "$stack/log"
}

# Names in .local/state.env.
state_names=(api_port api_admin_port receiver_port dispatcher_admin_ports master_keys
  tenant_id api_key console_email console_password endpoint_id)

load_state() {
  local name
  for name in "${state_names[@]}"; do printf -v "$name" '%s' ''; done
  # shellcheck source=/dev/null
  if [[ -r $stack/state.env ]]; then . "$stack/state.env"; fi
}

save_state() {
  assignments "${state_names[@]}" | replace_file "$stack/state.env"
}

# What dev.env tells the outside. A caller who sourced it before calling us hands it back, and then it
# is no wish of his.
told_names=(PLUMBLINE_URL PLUMBLINE_API_KEY PLUMBLINE_TENANT_ID PLUMBLINE_BIN PLUMBLINE_API_PID
  PLUMBLINE_DISPATCHER_PIDS PLUMBLINE_RABBITMQ_PID PLUMBLINE_POSTGRES_PID PLUMBLINE_CONSOLE_EMAIL
  PLUMBLINE_CONSOLE_PASSWORD)

# Whether a URL is that of a private server of this stack, by its password, which is nobody else's.
is_our_own() {
  local password=''
  # shellcheck source=/dev/null
  if [[ -r $2/identity.env ]]; then password=$(. "$2/identity.env" && printf '%s' "$password"); fi
  [[ -n $password && $1 == *":$password@127.0.0.1:"* ]]
}

# Settles the PLUMBLINE_* variables of the services, and `dispatchers`.
#
# What a caller asks for holds until `make down`: a `make up` that only repairs what died must bring it
# back as it was, and must not need the same variables again. A caller who names a setting changes it.
settle_settings() {
  local name asked=''
  for name in "${told_names[@]}" "${!PLUMBLINE_TEST_@}"; do unset "$name"; done
  if is_our_own "${PLUMBLINE_DATABASE_URL-}" "$stack/database"; then unset PLUMBLINE_DATABASE_URL; fi
  if is_our_own "${PLUMBLINE_AMQP_URL-}" "$stack/broker"; then unset PLUMBLINE_AMQP_URL; fi
  if [[ -n ${DISPATCHERS-} && ! $DISPATCHERS =~ ^([0-9]|[1-9][0-9])$ ]]; then
    die "DISPATCHERS is '$DISPATCHERS'" "give a number from 0 to 99"
  fi

  asked=$(assignments "${!PLUMBLINE_@}" ${DISPATCHERS:+DISPATCHERS})
  # shellcheck source=/dev/null
  if [[ -r $stack/settings.env ]]; then . "$stack/settings.env"; fi
  eval "$asked"
  DISPATCHERS=${DISPATCHERS:-1}
  if [[ -z ${PLUMBLINE_DATABASE_URL-} ]]; then unset PLUMBLINE_DATABASE_URL; fi
  if [[ -z ${PLUMBLINE_AMQP_URL-} ]]; then unset PLUMBLINE_AMQP_URL; fi
  assignments "${!PLUMBLINE_@}" DISPATCHERS | replace_file "$stack/settings.env"
}

# The API's answer on stdout, its status as the last line. The key goes through stdin, because a command
# line is for everybody to read. api METHOD PATH [BODY]
api() {
  local method=$1 path=$2 body=${3-}
  {
    printf 'silent\nshow-error\nnoproxy = "*"\nmax-time = 20\nrequest = "%s"\nurl = "http://127.0.0.1:%s%s"\n' \
      "$method" "$api_port" "$path"
    printf 'header = "Authorization: Bearer %s"\nwrite-out = "\\n%%{http_code}"\n' "$api_key"
    if [[ -n $body ]]; then
      printf 'header = "Content-Type: application/json"\ndata-binary = "%s"\n' "${body//\"/\\\"}"
    fi
  } | curl --config -
}

# The first value of a name in a JSON text: enough for our own answers, and needs no further program.
json_value() {
  grep -o "\"$1\" *: *\(\"[^\"]*\"\|[0-9]*\)" | head -n 1 | sed 's/^"[^"]*" *: *//; s/^"\(.*\)"$/\1/'
}
