#!/usr/bin/env bash
# The web console: builds it, tests what it decides, or tries it in a browser against a running stack.
# Usage: console.sh build|test|e2e
#
#   build   into crates/api/console/dist, which the API carries; nothing is done when nothing has changed
#   test    the tests that need no browser
#   e2e     Chromium against the stack of PLUMBLINE_URL, else of `make up`, which is started for it where none runs;
#           pictures of every page go to target/console-screenshots. PLUMBLINE_CONSOLE_URL is where the console is
#           served, when it is not the API that does.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
for part in say programs; do
  # shellcheck source=/dev/null
  . "$here/lib/$part.sh"
done

checkout=$(readlink -f "$here/../..")
console=$checkout/crates/api/console
modules=$console/node_modules

main() {
  case ${1-} in
    build) build ;;
    test) run_tests ;;
    e2e) shift && try_in_browser "$@" ;;
    *) die "console.sh does not know '${1-}'" "usage: console.sh build|test|e2e" ;;
  esac
}

# The libraries of package-lock.json; they stay until it changes.
install_libraries() {
  "$here/install.sh" node
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    die "Node.js $(node --version) is too old for the console's tools" "install Node.js 20.19 or newer (https://nodejs.org)"
  local state
  state=$(cat "$console"/{package.json,package-lock.json,.npmrc} | cksum)
  if [[ -e $modules/.plumbline && $(<"$modules/.plumbline") == "$state" ]]; then return; fi
  say "Installing the console's libraries"
  mkdir -p "$checkout/target"
  local log=$checkout/target/console-install.log
  (cd "$console" && npm ci --ignore-scripts </dev/null) >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "npm could not install the console's libraries" "see $log, and run this again"; }
  printf '%s\n' "$state" >"$modules/.plumbline"
}

build() {
  install_libraries
  # The verifiers for receivers are shown in the console, too.
  local state sources=("$console"/{src,build,index.html,package.json,package-lock.json,tsconfig.json,vite.config.ts} "$checkout/docs/receiving/verify")
  state=$(find "${sources[@]}" -type f -not -name '*.test.ts' -print0 | LC_ALL=C sort -z | xargs -0 cat | cksum)
  if [[ -e $console/dist/index.html.br && -e $modules/.built && $(<"$modules/.built") == "$state" ]]; then return; fi
  say "Building the console"
  rm -f "$modules/.built"
  (cd "$console" && npm run --silent build </dev/null) >&2
  printf '%s\n' "$state" >"$modules/.built"
}

run_tests() {
  install_libraries
  (cd "$console" && npm test --silent </dev/null)
}

try_in_browser() {
  "$here/install.sh" browser
  build
  if [[ -z ${PLUMBLINE_URL-} ]]; then
    if ! stack_is_up; then
      # Whoever finds no stack wants none afterwards. Two of the tests wait for retries.
      trap '"$here/down.sh"' EXIT
      PLUMBLINE_RETRY_SCHEDULE=${PLUMBLINE_RETRY_SCHEDULE-2s,4s,8s,15s,30s,60s} "$here/up.sh"
    fi
    set -a
    # shellcheck source=/dev/null
    . "$checkout/.local/dev.env"
    set +a
  fi
  PLUMBLINE_CHROMIUM=$(browser_bin) || die "there is no Chromium that starts" "set PLUMBLINE_CHROMIUM to one"
  export PLUMBLINE_CHROMIUM
  (cd "$console" && npm run --silent e2e -- "$@" </dev/null)
}

stack_is_up() {
  [[ -e $checkout/.local/dev.env ]] || return 1
  # shellcheck source=/dev/null
  (. "$checkout/.local/dev.env" && kill -0 "$PLUMBLINE_API_PID" 2>/dev/null)
}

main "$@"
