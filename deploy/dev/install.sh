#!/usr/bin/env bash
# Installs what the development stack needs and this machine lacks, from the system's packages.
# Usage: install.sh [database] [broker] [peers] [languages] [go] [node] [browser] [venv] [containers] [metrics]
#
# Only programs are wanted. The packages would also start (and on Debian create) system-wide servers;
# this keeps them from doing so and never touches one that is already there.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/say.sh"
. "$here/lib/programs.sh"

policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/plumbline-development.conf
left_behind=()

missing_packages() {
  local need
  type -P curl >/dev/null || printf '%s\n' curl
  # The linker of every Rust program, and the compiler of the one C library among the dependencies.
  type -P cc >/dev/null || printf '%s\n' gcc libc6-dev
  for need in "$@"; do
    case $need in
      database) postgres_bin >/dev/null || printf '%s\n' postgresql ;;
      broker) rabbitmq_bin >/dev/null || printf '%s\n' rabbitmq-server ;;
      node)
        type -P node >/dev/null || printf '%s\n' nodejs
        type -P npm >/dev/null || printf '%s\n' npm
        ;;
      browser) browser_bin >/dev/null || printf '%s\n' chromium ;;
      peers)
        type -P node >/dev/null || printf '%s\n' nodejs
        type -P npm >/dev/null || printf '%s\n' npm
        type -P python3 >/dev/null || printf '%s\n' python3
        python3 -m pip --version >/dev/null 2>&1 || printf '%s\n' python3-pip
        ;;
      # What the receivers of docs/receiving are written in, besides those of the peers.
      languages)
        type -P ruby >/dev/null || printf '%s\n' ruby
        type -P php >/dev/null || printf '%s\n' php-cli
        type -P openssl >/dev/null || printf '%s\n' openssl
        ;;
      # Python with virtual environments of its own, for tools.
      venv)
        type -P python3 >/dev/null || printf '%s\n' python3
        python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3-venv
        ;;
      containers)
        type -P buildah >/dev/null || printf '%s\n' buildah
        type -P podman >/dev/null || printf '%s\n' podman
        type -P runc >/dev/null || printf '%s\n' runc
        type -P catatonit >/dev/null || printf '%s\n' catatonit
        ;;
      go) type -P go >/dev/null || printf '%s\n' golang-go ;;
      # What deploy/checks/metrics.sh checks rules and dashboards with.
      metrics)
        type -P prometheus promtool >/dev/null || printf '%s\n' prometheus
        type -P amtool >/dev/null || printf '%s\n' prometheus-alertmanager
        type -P node >/dev/null || printf '%s\n' nodejs
        type -P npm >/dev/null || printf '%s\n' npm
        type -P python3 >/dev/null || printf '%s\n' python3
        ;;
      *) die "install.sh does not know '$need'" "usage: install.sh [database] [broker] [peers] [languages] [go] [node] [browser] [venv] [containers] [metrics]" ;;
    esac
  done
}

remedy() {
  printf '%s' "install them yourself; for PostgreSQL 14 or newer and RabbitMQ 3.10 or newer you may set PLUMBLINE_DATABASE_URL and PLUMBLINE_AMQP_URL to servers you have instead"
}

clean_up() {
  if ((${#left_behind[@]})); then rm -f "${left_behind[@]}"; fi
}

# As root: the packages, with their services held back.
install_packages() {
  trap clean_up EXIT
  # Two checkouts may do this at once, and one must not remove the other's policy.
  exec 9>/run/lock/plumbline-install.lock
  flock 9

  if [[ ! -e $policy ]]; then
    left_behind+=("$policy")
    printf '#!/bin/sh\n# Temporary, by plumbline: packages are being installed, nothing is to be started.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  if [[ ! -e $no_cluster ]]; then
    left_behind+=("$no_cluster")
    mkdir -p "$(dirname "$no_cluster")"
    printf 'create_main_cluster = false\n' >"$no_cluster"
    chmod 644 "$no_cluster"
  fi

  export DEBIAN_FRONTEND=noninteractive
  # Another package run on a fresh machine is common (unattended upgrades), so we wait our turn.
  local apt=(apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  # An old list of packages still works more often than not, so only the installation decides.
  "${apt[@]}" update >&2 || say "apt-get update failed; trying with the package lists that are here"
  "${apt[@]}" install --no-install-recommends "$@" </dev/null >&2 ||
    die "apt-get could not install: $*" "$(remedy)"
}

if [[ ${1-} == --as-root ]]; then
  shift
  umask 022
  install_packages "$@"
  exit
fi

mapfile -t packages < <(missing_packages "$@")
if ((${#packages[@]} == 0)); then exit 0; fi

type -P apt-get >/dev/null || die "missing on this machine: ${packages[*]} (names of Debian packages), and there is no apt-get" "$(remedy)"
say "Missing on this machine: ${packages[*]}. Installing them with apt-get; their own services are not started."
if ((EUID == 0)); then
  "$0" --as-root "${packages[@]}"
elif type -P sudo >/dev/null; then
  say "This needs root, so sudo may ask for your password."
  # Without a terminal nobody can answer, and waiting for ever would look like a hang.
  prompt=()
  if [[ ! -t 0 ]]; then prompt=(-n); fi
  sudo "${prompt[@]}" "$here/install.sh" --as-root "${packages[@]}" ||
    die "sudo did not install: ${packages[*]}" "run as root: apt-get install --no-install-recommends ${packages[*]}" "or $(remedy)"
else
  die "missing: ${packages[*]}; installing them needs root, and there is no sudo" \
    "run as root: apt-get install --no-install-recommends ${packages[*]}" "or $(remedy)"
fi

mapfile -t packages < <(missing_packages "$@")
if ((${#packages[@]})); then die "apt-get ended well, yet these are not usable: ${packages[*]}" "$(remedy)"; fi
