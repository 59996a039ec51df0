#!/usr/bin/env python3
"""Every setting that a program's --help names is one that the chart has: settings.py HELP."""

import json
import pathlib
import re
import sys

from render import CHART

# Where it listens is the chart's own affair, and whether it migrates is what `migration.enabled` says.
ELSEWHERE = {"LISTEN", "ADMIN_LISTEN", "MIGRATE_AT_START"}

schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
groups = [schema["settings"], schema["api"]["properties"]["settings"], schema["dispatcher"]["properties"]["settings"]]
charts = set(ELSEWHERE).union(*(group["properties"] for group in groups))
charts |= {re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper() for name in schema["secrets"]["properties"]}

programs = set(re.findall(r"\[env: PLUMBLINE_(\w+)", pathlib.Path(sys.argv[1]).read_text()))
if len(programs) < 20:
    sys.exit(f"error: only {len(programs)} settings were found in {sys.argv[1]}")
for name in sorted(programs - charts):
    print(f"error: PLUMBLINE_{name} is a setting; describe it in values.schema.json, then: make deploy-render", file=sys.stderr)
sys.exit(1 if programs - charts else 0)
