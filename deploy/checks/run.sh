#!/usr/bin/env bash
# Runs the image as the chart's Deployments say, against private servers, and has a webhook delivered.
#
# Podman plays the rendered Deployments: their user, read-only root, capabilities, memory limit, settings and secret
# references are the chart's. RabbitMQ runs with the configuration of deploy/compose, as far as its version knows it.
#
#   run.sh        check; stops all that it started
#   run.sh stop   stop what a check left that was killed
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/check.sh"
. "$here/lib/containers.sh"
. "$dev/lib/stack.sh"

servers=$work/servers
secret=plumbline

main() {
  container_tools
  if [[ ${1-} == stop ]]; then
    stop_everything
    return
  fi
  python_tools
  podman image exists "$image" || "$here/image.sh"
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  stop_everything # Of a run that was killed.
  check settings_are_the_charts
  start_servers
  play
  check is_locked_down api
  check is_locked_down dispatcher
  deliver
  check drains
  finish
}

# Every setting that the programs have is one that the chart knows.
settings_are_the_charts() {
  local program
  for program in plumbline-api plumbline-dispatcher; do run "$program" --help; done >"$work/help.txt"
  "$python/python" "$here/tools/settings.py" "$work/help.txt"
}

# run ARGUMENT... : the image by itself, with nothing that it does not need.
run() {
  podman run --rm --network host --read-only --cap-drop all --security-opt no-new-privileges --memory 256m "$image" "$@"
}

# plumbline ARGUMENT... : the command line, with the secret's URL of the database.
plumbline() {
  podman run --rm --network host --read-only --cap-drop all --security-opt no-new-privileges --memory 256m \
    --env-file "$work/run/cli.env" "$image" plumbline "$@"
}

start_servers() {
  "$dev/install.sh" database broker
  make_state_dir "$servers"
  mkdir -p "$servers/broker/conf.d" "$work/run"
  # Debian's RabbitMQ does not know the default type yet.
  grep -v -e '^default_queue_type' -e '^log\.console' deploy/compose/rabbitmq.conf >"$servers/broker/conf.d/compose.conf"
  "$dev/database.sh" start "$servers/database" fsync=off &
  local database=$!
  "$dev/broker.sh" start "$servers/broker" &
  local broker=$!
  wait "$database" || die "the check's PostgreSQL did not start"
  wait "$broker" || die "the check's RabbitMQ did not start"
  # shellcheck source=/dev/null
  . "$servers/database/database.env"
  # shellcheck source=/dev/null
  . "$servers/broker/broker.env"
}

play() {
  read -ra ports <<<"$(free_ports 4)"
  api_port=${ports[0]} api_admin_port=${ports[1]} dispatcher_admin_port=${ports[2]} receiver_port=${ports[3]}
  printf 'PLUMBLINE_DATABASE_URL=%s\nPLUMBLINE_LOG=warn\n' "$DATABASE_URL" | replace_file "$work/run/cli.env"

  # As the hook does, and once more: an upgrade without anything new.
  plumbline migrate
  [[ $(plumbline migrate --json) == '{"applied":[]}' ]] || die "a second migration applied something"

  cat >"$work/run/values.yaml" <<-'EOF_VALUES'
	settings: { ALLOW_HTTP: true, ALLOW_NETWORKS: 127.0.0.0/8, DRAIN_TIMEOUT: 20s }
	EOF_VALUES
  "$python/python" "$here/tools/render.py" render "$work/run/values.yaml" default >"$work/run/chart.yaml"
  "$python/python" "$here/tools/pods.py" "$work/run/chart.yaml" "$image" "$api_port" "$api_admin_port" "$dispatcher_admin_port" \
    >"$work/run/pods.yaml"
  # As Podman 4 keeps a Secret: its data, in JSON.
  printf '{"PLUMBLINE_DATABASE_URL":"%s","PLUMBLINE_AMQP_URL":"%s","PLUMBLINE_MASTER_KEYS":"%s"}' \
    "$(printf %s "$DATABASE_URL" | base64 -w0)" "$(printf %s "$AMQP_URL" | base64 -w0)" \
    "$(printf 'check:%s' "$(head -c 32 /dev/urandom | base64 -w0)" | base64 -w0)" | podman secret create "$secret" - >/dev/null
  podman kube play "$work/run/pods.yaml" >"$work/run/play.log" 2>&1 || {
    show_log "$work/run/play.log"
    die "podman does not play the Deployments"
  }
  local name
  for name in api dispatcher; do
    within 60 is_up "$name" || {
      podman logs "$(container "$name")" 2>&1 | tail -n 20 >&2
      die "the $name does not become ready"
    }
  done
}

# The container of a service, in the pod that Podman made of its Deployment.
container() {
  podman ps --all --quiet --filter "name=plumbline-$1-pod-.*-$1\$"
}

# With the image's own program, as a health check of Compose does.
is_up() {
  local port=${1}_admin_port
  podman exec "$(container "$1")" plumbline ready --at "127.0.0.1:${!port}" >/dev/null 2>&1
}

# What the kernel says, not what was asked for.
is_locked_down() {
  local id pid status
  id=$(container "$1")
  pid=$(podman inspect --format '{{.State.Pid}}' "$id")
  status=$(cat "/proc/$pid/status")
  local line
  for line in $'Uid:\t65532\t65532\t65532\t65532' $'Gid:\t65532\t65532\t65532\t65532' \
    $'CapEff:\t0000000000000000' $'CapBnd:\t0000000000000000' $'NoNewPrivs:\t1'; do
    grep -qxF "$line" <<<"$status" || { say "the $1 is not $line, but:" "$(grep "^${line%%:*}:" <<<"$status")" && return 1; }
  done
  awk '$5 == "/" { options = $6 } END { exit options !~ /^ro(,|$)/ }' "/proc/$pid/mountinfo" || { say "the $1's root can be written" && return 1; }
  [[ $(podman inspect --format '{{.HostConfig.Memory}}' "$id") == $((512 * 1024 * 1024)) ]] ||
    { say "the $1 has not the chart's limit of memory" && return 1; }
  say "$1: $(grep -E '^(VmRSS|Threads|Seccomp):' <<<"$status" | tr -s '\t ' ' ' | tr '\n' ' ')"
}

deliver() {
  local answer event tenant
  tenant=$(plumbline tenant create --name Check --json | json_value id)
  api_key=$(plumbline api-key create --tenant "$tenant" --name check --scopes '*' --json | json_value key)
  answer=$(api POST /api/v1/webhook-endpoints "{\"url\":\"http://127.0.0.1:$receiver_port/\",\"eventTypes\":[\"bid.accepted\"],\"description\":\"check\"}")
  [[ ${answer##*$'\n'} == 201 ]] || die "making an endpoint answered: $answer"

  # The receiver of the guide: it prints what it has verified.
  : >"$work/run/receiver.log"
  WEBHOOK_SECRET=$(json_value signingSecret <<<"$answer") PORT=$receiver_port \
    launch "$work/run/receiver.pid" "$work/run/receiver.log" python3 docs/receiving/verify/buildworkpro.py
  within 15 port_is_taken "$receiver_port" || die "the receiver does not start"

  answer=$(api POST /api/v1/events '{"type":"bid.accepted","data":{"id":1,"bidNumber":"BID-001","status":"accepted"}}')
  [[ ${answer##*$'\n'} == 202 ]] || die "publishing an event answered: $answer"
  event=$(json_value id <<<"$answer")
  within 30 grep -qF "received bid.accepted $event" "$work/run/receiver.log" || {
    show_log "$work/run/receiver.log"
    podman logs "$(container dispatcher)" 2>&1 | tail -n 20 >&2
    die "the event $event did not arrive"
  }
  say "delivered and verified: $event"
}

# SIGTERM, as a cluster does it: each ends by itself, well, and within its grace.
drains() {
  local name id
  for name in dispatcher api; do
    id=$(container "$name")
    podman stop --time 40 "$id" >/dev/null
    [[ $(podman inspect --format '{{.State.ExitCode}}' "$id") == 0 ]] || {
      podman logs "$id" 2>&1 | tail -n 20 >&2
      say "the $name did not drain"
      return 1
    }
  done
}

clean_up() {
  trap '' INT TERM HUP # Not before: what is started while they are ignored ignores them, too.
  set +e
  stop_everything
}

stop_everything() {
  stop_process "$work/run/receiver.pid" TERM 5
  # All that is in the storage of these checks, which is nobody else's.
  podman pod rm --force --all >/dev/null 2>&1 || true
  podman rm --force --all --time 5 >/dev/null 2>&1 || true
  podman secret rm "$secret" >/dev/null 2>&1 || true
  "$dev/bench-servers.sh" down "$servers"
  rm -rf "$work/run"
}

main "$@"
