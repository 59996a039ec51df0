#!/usr/bin/env bash
# Starts the development stack, sends a first event through it to a sample receiver that verifies
# signatures, says how to go on, and stays in the foreground. Ctrl-C stops what this started: a stack
# that `make up` had started before stays.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
for part in say state ports process programs stack services; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

started_by=$(cat "/proc/$PPID/comm")

main() {
  cd "$checkout"
  make_stack_dirs
  local was_up=no
  if service_pid api >/dev/null; then was_up=yes; fi
  # Before anything is started, so that whatever interrupts us, it is stopped again.
  # shellcheck disable=SC2064 # The value of now.
  trap "clean_up $was_up" EXIT
  trap 'exit 0' INT TERM HUP

  interruptible "$here/up.sh"
  load_state
  start_receiver
  register_endpoint
  send_first_event
  introduce
  stay
}

start_receiver() {
  local binary secret_file=$stack/run/receiver.secret port_file=$stack/run/receiver.port
  binary=$(release_bin)/plumbline-sample-receiver
  stop_services receiver
  rm -f "$port_file"
  : >"$secret_file" # Filled when the endpoint exists; the receiver reads it for each request.
  : >"$stack/log/receiver.log"
  if [[ -z $receiver_port ]] || port_is_taken "$receiver_port"; then
    receiver_port=$(free_ports 1)
    save_state
  fi
  want_service receiver "$binary"
  start_service receiver "$binary" --listen "127.0.0.1:$receiver_port" --secret-file "$secret_file" --port-file "$port_file"
  within 15 test -s "$port_file" || {
    show_log "$stack/log/receiver.log"
    die "the sample receiver does not start"
  }
}

register_endpoint() {
  forget_endpoint # Of an earlier run that could not tidy up.
  local answer
  answer=$(api POST /api/v1/webhook-endpoints \
    "{\"url\":\"http://127.0.0.1:$(cat "$stack/run/receiver.port")/\",\"eventTypes\":[\"bid.accepted\"],\"description\":\"make run's sample receiver\"}")
  [[ ${answer##*$'\n'} == 201 ]] || die "registering the sample receiver answered: $answer"
  endpoint_id=$(json_value id <<<"$answer")
  save_state
  json_value signingSecret <<<"$answer" | replace_file "$stack/run/receiver.secret"
}

# An endpoint that nobody listens behind would only collect failures, also for a later `make up`.
forget_endpoint() {
  [[ -n $endpoint_id ]] || return 0
  api DELETE "/api/v1/webhook-endpoints/$endpoint_id" >/dev/null 2>&1 || true
  endpoint_id=''
  save_state
}

send_first_event() {
  local answer event
  answer=$(api POST /api/v1/events '{"type":"bid.accepted","data":{"id":1,"bidNumber":"BID-001","status":"accepted"}}')
  [[ ${answer##*$'\n'} == 202 ]] || die "publishing the first event answered: $answer"
  event=$(json_value id <<<"$answer")
  within 30 grep -q -F "received bid.accepted $event signature verified" "$stack/log/receiver.log" || {
    show_log "$stack/log/receiver.log"
    show_log "$stack/log/dispatcher-1.log"
    die "the first event $event did not arrive, or its signature is wrong"
  }
  grep -F "received bid.accepted $event" "$stack/log/receiver.log"
}

introduce() {
  # shellcheck source=/dev/null
  . "$stack/dev.env"
  cat <<-EOF_INTRODUCTION

	Console      $PLUMBLINE_URL/
	  e-mail     $PLUMBLINE_CONSOLE_EMAIL
	  password   $PLUMBLINE_CONSOLE_PASSWORD
	API key      $PLUMBLINE_API_KEY
	Logs         .local/log

	Try, in another terminal in this directory:
	  set -a; . .local/dev.env; set +a
	  curl -H "Authorization: Bearer \$PLUMBLINE_API_KEY" -H 'Content-Type: application/json' \$PLUMBLINE_URL/api/v1/events -d '{"type":"bid.accepted","data":{"id":2}}'
	  curl -H "Authorization: Bearer \$PLUMBLINE_API_KEY" \$PLUMBLINE_URL/api/v1/webhook-endpoints/$endpoint_id/deliveries
	  curl -H "Authorization: Bearer \$PLUMBLINE_API_KEY" \$PLUMBLINE_URL/api/v1/webhook-event-types
	  \$PLUMBLINE_BIN/plumbline listen --forward-to http://127.0.0.1:3000/hook    # what is published, on a port of yours

	What the sample receiver gets appears below. Ctrl-C stops everything.
	EOF_INTRODUCTION
}

# Shows what arrives, and notices when something dies.
stay() {
  local name
  tail --pid=$$ -n 0 -F "$stack/log/receiver.log" 2>/dev/null &
  while :; do
    sleep 1 &
    wait $!
    if make_wants_to_end; then exit 0; fi
    for name in $(known_services); do
      service_pid "$name" >/dev/null || {
        show_log "$stack/log/$name.log"
        die "$name has stopped" "its whole log is $stack/log/$name.log"
      }
    done
  done
}

# Ctrl-C reaches the whole foreground group, us too. A SIGINT or SIGHUP for make alone does not: make
# blocks the signal and waits for us to end by ourselves. And when make was killed, nobody waits for us.
make_wants_to_end() {
  local parent blocked
  [[ $started_by == make ]] || return 1
  parent=$(cat "/proc/$PPID/comm" 2>/dev/null) && [[ $parent == make ]] || return 0
  blocked=$(sed -n 's/^SigBlk:[^0-9a-f]*//p' "/proc/$PPID/status")
  (((0x$blocked & 0x3) != 0)) # SIGHUP is 1, SIGINT 2.
}

clean_up() {
  local was_up=$1
  set +e # The terminal may be gone, and then saying something fails.
  trap '' INT TERM HUP # A second Ctrl-C must not leave half of it running.
  end_interruptible
  load_state
  if service_pid api >/dev/null; then forget_endpoint; fi
  if [[ $was_up == yes ]]; then
    stop_services receiver
    rm -f "$stack"/run/receiver.*
    say "The stack was up before and stays up; make down stops it."
  else
    say "Stopping ..."
    "$here/down.sh"
  fi
}

main
