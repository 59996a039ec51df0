#!/usr/bin/env bash
# Checks what an operator sees: metrics, rules, alerts, routes, runbook, dashboards; first by reading them, then against a
# real Prometheus that scrapes a real Plumbline under a small load. Starts private servers and stops them again.
#
#   metrics.sh           everything, about two minutes with binaries that are built
#   metrics.sh reading   only what needs nothing running
#
# UPDATE=1 writes deploy/grafana/dashboards anew from dashboards.ts. PLUMBLINE_BIN says where the binaries are; otherwise the
# newest of the release and debug builds is taken, and a debug build made where there is none.
set -euo pipefail
checks=$(dirname "$(readlink -f "$0")")
deploy=$(dirname "$checks")
here=$deploy/dev
. "$here/lib/say.sh"
. "$here/lib/state.sh"
. "$here/lib/programs.sh"

checkout=$(dirname "$deploy")
work=$checkout/.local/checks/metrics
what=${1-all}
[[ $what == all || $what == reading ]] || die "usage: metrics.sh [reading]"

reading() {
  say "--- rules and alerts"
  (cd "$deploy/prometheus" && promtool check config --syntax-only prometheus.yml &&
    promtool check rules --lint=all --lint-fatal rules.yml alerts.yml && promtool test rules tests.yml) >&2
  say "--- routes"
  amtool check-config "$deploy/prometheus/alertmanager.yml" >&2
  local severity receiver
  while read -r severity receiver; do
    amtool config routes test --config.file="$deploy/prometheus/alertmanager.yml" --verify.receivers="$receiver" \
      severity="$severity" alertname=PlumblineEventsWaiting job=plumbline-api >&2 ||
      die "an alert with severity $severity does not reach the $receiver"
  done <<<$'critical pager\nwarning tickets\ninfo channel'
  say "--- every alert has a test, a severity that is routed, and an entry in the runbook"
  python3 "$checks/metrics/alerts.py" "$deploy/prometheus" "$checkout/docs/RUNBOOK.md"

  say "--- dashboards"
  cp "$checks"/metrics/{package.json,package-lock.json,tsconfig.json} "$deploy/grafana/dashboards.ts" "$work/"
  if ! cmp -s "$work/package-lock.json" "$work/node_modules/.plumbline-lock"; then
    (cd "$work" && npm ci --no-audit --no-fund --ignore-scripts >&2)
    cp "$work/package-lock.json" "$work/node_modules/.plumbline-lock"
  fi
  rm -rf "$work/out" "$work/dashboards"
  mkdir -p "$work/dashboards"
  (cd "$work" && node_modules/.bin/tsc -p . && node out/dashboards.js dashboards) ||
    die "deploy/grafana/dashboards.ts is not what Grafana's schema says"
  if [[ -n ${UPDATE-} ]]; then
    rm -f "$deploy"/grafana/dashboards/*.json
    cp "$work"/dashboards/*.json "$deploy/grafana/dashboards/"
  fi
  diff -r "$work/dashboards" "$deploy/grafana/dashboards" >&2 ||
    die "deploy/grafana/dashboards is not what dashboards.ts makes" "write it anew: UPDATE=1 deploy/checks/metrics.sh reading"
}

# The binaries: the newest that there are.
binaries() {
  local candidate newest=''
  if [[ -n ${PLUMBLINE_BIN-} ]]; then
    printf '%s\n' "$PLUMBLINE_BIN"
    return
  fi
  for candidate in "$(release_bin)" "$(debug_bin)"; do
    if [[ -x $candidate/plumbline-api && -x $candidate/plumbline-dispatcher && -x $candidate/plumbline ]] &&
      [[ -z $newest || $candidate/plumbline-api -nt $newest/plumbline-api ]]; then
      newest=$candidate
    fi
  done
  if [[ -z $newest ]]; then
    cargo build --workspace --bins --locked >&2
    newest=$(debug_bin)
  fi
  printf '%s\n' "$newest"
}

stop_servers() {
  "$here/broker.sh" kill "$work/broker" || true
  "$here/broker.sh" stop "$work/broker" || true
  "$here/broker.sh" wipe "$work/broker" || true
  "$here/database.sh" kill "$work/database" || true
  "$here/database.sh" wipe "$work/database" || true
}

live() {
  local bin database broker
  bin=$(cd "$checkout" && binaries)
  say "--- a Plumbline from $bin, with a Prometheus"
  trap stop_servers EXIT
  "$here/database.sh" start "$work/database" fsync=off synchronous_commit=off full_page_writes=off &
  database=$!
  "$here/broker.sh" start "$work/broker" &
  broker=$!
  wait "$database" || die "PostgreSQL did not start"
  wait "$broker" || die "RabbitMQ did not start"
  # shellcheck source=/dev/null
  . "$work/database/database.env"
  # shellcheck source=/dev/null
  . "$work/broker/broker.env"
  DATABASE_URL=$DATABASE_URL AMQP_URL=$AMQP_URL PROMETHEUS_URL=$PROMETHEUS_URL \
    python3 "$checks/metrics/live.py" "$bin" "$deploy" "$work"
}

cd "$checkout"
if [[ $what == reading ]]; then "$here/install.sh" metrics; else "$here/install.sh" metrics database broker; fi
make_state_dir "$checkout/.local"
make_state_dir "$checkout/.local/checks"
make_state_dir "$work"
reading
if [[ $what == all ]]; then live; fi
say "metrics: all is as it should be"
