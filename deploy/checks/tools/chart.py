#!/usr/bin/env python3
"""What the chart promises beyond being well formed: lint, values that must be refused, and what it makes of others."""

import sys

import helm_python
import yaml

from render import CHART, render

wrong = []
report = helm_python.lint(str(CHART), strict=True)
# Severity 1 is information: it would like an icon.
wrong += [f"lint: {message['path']}: {message['error']}" for message in report["messages"] if message["severity"] > 1]
wrong += [f"lint: {error}" for error in report["errors"]]


def refused(values, why):
    """Helm must not take these values, and must name what is wrong."""
    try:
        render(values)
    except helm_python.HelmError as error:
        if why not in str(error):
            wrong.append(f"{values} is refused without naming {why}: {error}")
    else:
        wrong.append(f"{values} is not refused")


def made(values, **options):
    return {(each["kind"], each["metadata"]["name"]): each for each in map(yaml.safe_load, render(values, **options))}


def expect(what, is_so):
    if not is_so:
        wrong.append(f"not so: {what}")


refused({"setings": {}}, "setings")
refused({"settings": {"RETRY_SCHEDULE": "30s"}}, "RETRY_SCHEDULE")  # The dispatcher's alone.
refused({"settings": {"DRAIN_TIMEOUT": "1m"}}, "DRAIN_TIMEOUT")
refused({"dispatcher": {"autoscaling": {"mode": "vpa"}}}, "mode")
refused({"image": {"digest": "latest"}}, "digest")
refused({"secrets": {"masterKeys": {"name": ""}}}, "masterKeys")
refused({"api": {"ingress": {"enabled": True}}}, "api.ingress.host")

# A pod has longer than the drain that it was told, and its variables are whole numbers.
each = made({"settings": {"DRAIN_TIMEOUT": "60s", "EVENT_SHARDS": 3}, "api": {"settings": {"MAX_PAYLOAD_BYTES": 16777216}}})
pods = {name: each["Deployment", f"plumbline-{name}"]["spec"]["template"]["spec"] for name in ("api", "dispatcher")}
expect("the API's grace is the drain, the pause before it and 10 s", pods["api"]["terminationGracePeriodSeconds"] == 75)
expect("the dispatcher's grace is the drain and 10 s", pods["dispatcher"]["terminationGracePeriodSeconds"] == 70)
expect("shards are a setting of both", each["ConfigMap", "plumbline"]["data"]["PLUMBLINE_EVENT_SHARDS"] == "3")
expect(
    "large numbers stay whole",
    {"name": "PLUMBLINE_MAX_PAYLOAD_BYTES", "value": "16777216"} in pods["api"]["containers"][0]["env"],
)

# In an update whose messages old dispatchers cannot read, the API stays behind for a while.
each = made({"image": {"tag": "2"}, "api": {"tag": "1"}})
images = {name: item["spec"]["template"]["spec"]["containers"][0]["image"] for (kind, name), item in each.items() if kind in {"Deployment", "Job"}}
expected = {"plumbline-api": "plumbline:1", "plumbline-dispatcher": "plumbline:2", "plumbline-migration": "plumbline:2"}
expect(f"images are {images}", images == expected)

# KEDA looks at every queue there is.
each = made({"settings": {"EVENT_SHARDS": 2}, "dispatcher": {"autoscaling": {"mode": "keda"}}})
triggers = each["ScaledObject", "plumbline-dispatcher"]["spec"]["triggers"]
queues = {trigger["metadata"]["queueName"] for trigger in triggers if trigger["type"] == "rabbitmq"}
expected = {f"plumbline.events.{lane}.{shard}" for lane in ("fast", "bulk") for shard in range(2)}
expect(f"KEDA watches {queues}", queues == expected | {"plumbline.retries", "plumbline.fanout"})
expect("KEDA is the dispatcher's only scaler", ("HorizontalPodAutoscaler", "plumbline-dispatcher") not in each)
expect("what is scaled has no number of its own", "replicas" not in each["Deployment", "plumbline-dispatcher"]["spec"])

# Pod Security "restricted", in every pod; no token; secrets by reference alone.
for (kind, name), item in made({}).items():
    if kind not in {"Deployment", "Job"}:
        expect(f"{kind} {name} is no secret", kind != "Secret")
        continue
    pod = item["spec"]["template"]["spec"]
    expect(f"{name} has no token", pod["automountServiceAccountToken"] is False)
    expect(f"{name} is not root", pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0)
    expect(f"{name} has a seccomp profile", pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"})
    for container in pod["containers"]:
        expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        expect(f"{name} is restricted", container["securityContext"] == expected)
        for variable in container["env"]:
            if variable["name"].endswith(("_URL", "_KEYS")):
                expect(f"{variable['name']} of {name} is a reference", "valueFrom" in variable)

# The dispatcher's way to the internet leaves out what is ours, the metadata services first.
policy = made({})["NetworkPolicy", "plumbline-dispatcher"]["spec"]
blocks = [peer["ipBlock"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer]
expect("the dispatcher reaches the internet by two blocks", [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"])
for private in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8"):
    expect(f"{private} is out of its reach", private in blocks[0]["except"])
expect("fc00::/7 and fe80::/10 are out of its reach", {"fc00::/7", "fe80::/10"} <= set(blocks[1]["except"]))
api = made({})["NetworkPolicy", "plumbline-api"]["spec"]
expect("the API never reaches the internet", not any("ipBlock" in peer for rule in api["egress"] for peer in rule["to"]))

for problem in wrong:
    print(f"error: deploy/helm/plumbline: {problem}", file=sys.stderr)
sys.exit(1 if wrong else 0)
