#!/usr/bin/env python3
"""The chart's Deployments as Podman can run them on this machine.

    pods.py RENDERED IMAGE API_PORT API_ADMIN_PORT DISPATCHER_ADMIN_PORT

Everything that says how a container is locked down, limited, configured and stopped stays as the chart has it. Changed
is what one machine without a cluster cannot do: the network is the host's, so that the private servers on loopback are
reached and ports are free ones; probes go, for Podman would run curl inside; so does what only a scheduler reads.
"""

import sys

import yaml

rendered, image, *ports = sys.argv[1:]
api_port, api_admin_port, dispatcher_admin_port = ports
addresses = {
    "api": {"PLUMBLINE_LISTEN": f"127.0.0.1:{api_port}", "PLUMBLINE_ADMIN_LISTEN": f"127.0.0.1:{api_admin_port}"},
    "dispatcher": {"PLUMBLINE_ADMIN_LISTEN": f"127.0.0.1:{dispatcher_admin_port}"},
}

kept = []
with open(rendered, encoding="utf-8") as file:
    objects = [each for each in yaml.safe_load_all(file) if each]
for each in objects:
    if each["kind"] == "ConfigMap":
        kept.append(each)
    if each["kind"] != "Deployment":
        continue
    each["spec"]["replicas"] = 1
    pod = each["spec"]["template"]["spec"]
    pod["hostNetwork"] = True
    for name in ("topologySpreadConstraints", "serviceAccountName"):
        pod.pop(name)
    [container] = pod["containers"]
    container["image"], container["imagePullPolicy"] = image, "Never"
    for name in ("startupProbe", "livenessProbe", "readinessProbe", "ports"):
        container.pop(name)
    container.pop("lifecycle", None)
    container["env"] += [{"name": name, "value": value} for name, value in addresses[container["name"]].items()]
    kept.append(each)

assert len(kept) == 3, [each["kind"] for each in kept]
print(yaml.safe_dump_all(kept, sort_keys=False))
