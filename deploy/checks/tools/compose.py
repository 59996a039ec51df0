#!/usr/bin/env python3
"""What no schema knows of a Compose file: compose.py COMPOSE ENV_EXAMPLE.

Each variable is in the example; each one that must be set is empty there, so that nobody runs with it; each file that is
mounted exists; each service that goes on running has a health check, and each of ours is locked down.
"""

import pathlib
import re
import sys

import yaml

compose_path, example_path = (pathlib.Path(argument) for argument in sys.argv[1:])
text = compose_path.read_text()
compose = yaml.safe_load(text)
example = dict(line.split("=", 1) for line in example_path.read_text().splitlines() if "=" in line and not line.startswith("#"))
wrong = []

for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", text):
    if rest.startswith(":?") and example.get(name) != "":
        wrong.append(f"{name} must be set, so {example_path} names it and leaves it empty")
    elif name not in example and name != "PLUMBLINE_VERSION":
        wrong.append(f"{name} is not in {example_path}")
for name in example:
    if "${" + name not in text:
        wrong.append(f"{name} of {example_path} is not used")

for name, service in compose["services"].items():
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            if not (compose_path.parent / source).exists():
                wrong.append(f"{name} mounts {source}, which does not exist")
        elif source not in compose["volumes"]:
            wrong.append(f"{name} mounts {source}, which is no volume")
    if name != "migration" and "healthcheck" not in service:
        wrong.append(f"{name} has no health check")
    if "build" in service and not (
        service.get("read_only") and service.get("cap_drop") == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
    ):
        wrong.append(f"{name} is not locked down")
    if ":latest" in service["image"] or ":" not in service["image"]:
        wrong.append(f"{name} has no version")

for each in wrong:
    print(f"error: {compose_path}: {each}", file=sys.stderr)
sys.exit(1 if wrong else 0)
