"""Every alert is tested, routed, and told of in the runbook; and the runbook and the tests tell of no other.

    alerts.py deploy/prometheus docs/RUNBOOK.md
"""

import pathlib
import re
import sys

SEVERITIES = {"critical", "warning", "info"}


def main(prometheus: pathlib.Path, runbook: pathlib.Path) -> None:
    rules = (prometheus / "alerts.yml").read_text()
    tests = (prometheus / "tests.yml").read_text()
    page = runbook.read_text()
    faults = []
    alerts = re.split(r"^ +- alert: ", rules, flags=re.M)[1:]
    names = []
    for alert in alerts:
        name = alert.split("\n", 1)[0].strip()
        names.append(name)
        severity = re.search(r"severity: (\w+)", alert)
        if not severity or severity[1] not in SEVERITIES:
            faults.append(f"{name}: the severity is none of {', '.join(sorted(SEVERITIES))}")
        if "summary:" not in alert:
            faults.append(f"{name}: no summary")
        if f"runbook_url: docs/RUNBOOK.md#{name.lower()}\n" not in alert:
            faults.append(f"{name}: runbook_url is not docs/RUNBOOK.md#{name.lower()}")
        test = re.search(rf"^  - name: {name}\n(.*?)(?=^  - name:|\Z)", tests, flags=re.M | re.S)
        expected = re.findall(r"exp_samples: (\[.*?\])\}$", test[1], flags=re.M) if test else []
        if [samples != "[]" for samples in expected] != [False, True, False]:
            faults.append(f"{name}: tests.yml has no test of this name in which it is silent, fires and resolves")
        entry = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S)
        if not entry:
            faults.append(f"{name}: the runbook has no heading '## {name}'")
            continue
        for part in ("**Means.**", "**Look.**", "**Do.**", "**Resolves**"):
            if part not in entry[1]:
                faults.append(f"{name}: the runbook's entry has no {part}")
    for heading in re.findall(r"^## (Plumbline\w+)$", page, flags=re.M):
        if heading not in names:
            faults.append(f"{heading}: the runbook tells of it, and there is no such alert")
    if not names:
        faults.append("there are no alerts")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"{len(names)} alerts", file=sys.stderr)


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
