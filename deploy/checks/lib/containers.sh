# shellcheck shell=bash
# Sourced after check.sh: buildah and podman with a storage of their own, so that nothing of this machine's is touched
# and removing .local removes it all.

image=localhost/plumbline:check

container_tools() {
  if ((EUID != 0)); then
    # As an ordinary user they need ranges of subordinate ids and more, which a check cannot arrange.
    say "the checks of the image need root: run make deploy-check as root"
    exit "$EXIT_SKIPPED"
  fi
  if ! unshare --mount true 2>/dev/null; then
    # In a container without CAP_SYS_ADMIN, for example: neither buildah nor podman can mount anything.
    say "the checks of the image need to mount file systems, which is not allowed here"
    exit "$EXIT_SKIPPED"
  fi
  "$dev/install.sh" containers
  mkdir -p "$work/containers" "$work/tmp"
  export CONTAINERS_CONF=$work/containers/containers.conf CONTAINERS_STORAGE_CONF=$work/containers/storage.conf TMPDIR=$work/tmp
  # Within the limits of a container that this may run in; without systemd, and without its journal.
  replace_file "$CONTAINERS_CONF" <<-'EOF_CONF'
	[containers]
	default_ulimits = ["nofile=8192:8192", "nproc=2048:2048"]
	[engine]
	cgroup_manager = "cgroupfs"
	runtime = "runc"
	events_logger = "file"
	EOF_CONF
  # Plain directories: they work on every file system.
  replace_file "$CONTAINERS_STORAGE_CONF" <<-EOF_CONF
	[storage]
	driver = "vfs"
	graphroot = "$work/containers/storage"
	runroot = "$work/containers/run"
	EOF_CONF
}
