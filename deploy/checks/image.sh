#!/usr/bin/env bash
# Builds the image as deploy/Dockerfile says, and looks at what came out. Others run it: run.sh.
#
# No registry of images is asked: the bases that compile are empty, and this machine's own Rust, Node.js, compiler and
# C library are mounted into them. What is shipped stands on `scratch` and has nothing of this machine but the
# certificates that it trusts.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/check.sh"
. "$here/lib/containers.sh"

base=localhost/plumbline-check-base

main() {
  python_tools
  check "$python/hadolint" deploy/Dockerfile
  container_tools
  "$dev/install.sh" node
  build_base
  check build_image
  check looks_right
  finish
}

# What a base image has and this machine's /usr has not.
build_base() {
  local root=$work/base
  rm -rf "$root"
  mkdir -p "$root"/{dev,proc,sys,run,root,usr,src,tmp,var/tmp,etc/ssl/certs,cargo/registry,rust,node}
  local link
  for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
  cp /etc/ld.so.cache "$root/etc/"
  cp -r /etc/alternatives "$root/etc/"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'root:x:0:0::/root:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
  chmod -R u=rwX,go=rX "$root"
  chmod 1777 "$root/tmp" "$root/var/tmp"
  printf 'FROM scratch\nCOPY . /\nENV PATH=/rust/bin:/node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root CARGO_HOME=/cargo\n' |
    buildah build --isolation chroot --quiet --tag "$base" --file - "$root" >/dev/null
}

build_image() {
  local rust node_prefix cargo_home=${CARGO_HOME:-$HOME/.cargo}
  rust=$(rustc --print sysroot)
  node_prefix=$(dirname "$(dirname "$(readlink -f "$(type -P node)")")")
  mkdir -p "$cargo_home/registry"
  buildah build --isolation chroot --network host --file deploy/Dockerfile --tag "$image" \
    --build-arg RUST_IMAGE="$base" --build-arg NODE_IMAGE="$base" --build-arg PROFILE="${PROFILE:-dist}" \
    --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --volume /usr:/usr:ro --volume "$rust:/rust:ro" --volume "$node_prefix:/node:ro" \
    --volume "$cargo_home/registry:/cargo/registry" .
}

# By its files and its configuration; and podman shows what it says of itself.
looks_right() {
  local root
  root=$(podman image mount "$image")
  podman image inspect "$image" >"$work/image.json"
  "$python/python" "$here/tools/image.py" "$root" "$work/image.json" || return 1
  podman image unmount "$image" >/dev/null
}

main
