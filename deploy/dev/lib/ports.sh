# shellcheck shell=bash
# Sourced: choosing TCP ports that nobody uses.

# Whether somebody listens on this port. What is left of old connections is no obstacle: servers bind
# with SO_REUSEADDR.
port_is_taken() {
  local hex
  printf -v hex '%04X' "$1"
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    awk -v suffix=":$hex" '$2 ~ suffix "$" && $4 == "0A" { found = 1 } END { exit !found }'
}

port_is_free() {
  ! port_is_taken "$1"
}

# Prints as many different free ports as asked for, on one line.
#
# They lie below the range from which the kernel serves outgoing connections: a service that is down
# for a moment would otherwise find its port given away to somebody's client. They are drawn at random,
# so two stacks that start at the same time rarely meet, and the servers try again when they do.
free_ports() {
  local count=$1 low=20000 high=32767 ephemeral port chosen=() tries=0
  if read -r ephemeral _ 2>/dev/null </proc/sys/net/ipv4/ip_local_port_range &&
    ((ephemeral > 11000 && ephemeral - 1 < high)); then
    high=$((ephemeral - 1))
    if ((high - low < 2000)); then low=10000; fi
  fi
  while ((${#chosen[@]} < count)); do
    if ((++tries > 1000)); then return 1; fi
    port=$((low + (RANDOM * 32768 + RANDOM) % (high - low + 1)))
    if [[ " ${chosen[*]} " == *" $port "* ]] || port_is_taken "$port"; then continue; fi
    chosen+=("$port")
  done
  printf '%s\n' "${chosen[*]}"
}
