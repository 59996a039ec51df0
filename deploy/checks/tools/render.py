#!/usr/bin/env python3
"""What is made from the Helm chart, so that nothing can drift from it: its README and the Kustomize files.

    render.py write            write them
    render.py compare          fail where what is written is not what the chart says
    render.py render FILE NAMESPACE   print what the chart makes of a file of values
"""

import json
import pathlib
import re
import sys

import helm_python
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[2]
CHART = DEPLOY / "helm/plumbline"
KUSTOMIZE = DEPLOY / "kustomize"
MADE = "Made from the chart in deploy/helm/plumbline by `make deploy-render`; change that instead."

# Each of Kustomize's parts: the values that it is rendered with, and the kinds that it takes; the base takes what no
# other one does.
FIXED = {"api": {"autoscaling": {"enabled": False}}, "dispatcher": {"autoscaling": {"mode": "none"}}}
PARTS = {
    "components/hpa/autoscaling.yaml": ({}, {"HorizontalPodAutoscaler"}),
    "components/keda/autoscaling.yaml": (
        {"dispatcher": {"autoscaling": {"mode": "keda"}}},
        {"HorizontalPodAutoscaler", "ScaledObject", "TriggerAuthentication"},
    ),
    "components/ingress/ingress.yaml": (
        {"api": {"ingress": {"enabled": True, "host": "hooks.example.com", "tlsSecret": "plumbline-tls"}}},
        {"Ingress"},
    ),
    "components/monitoring/monitoring.yaml": (
        {"monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}}},
        {"PodMonitor", "PrometheusRule"},
    ),
}


def render(values, namespace="plumbline", release="plumbline"):
    """The chart's documents as text, each by the name of its template, in a stable order."""
    chart = helm_python.Chart.load(str(CHART))
    rendered = chart.render(values, name=release, namespace=namespace)
    documents = []
    for name in sorted(rendered):
        if name.endswith(".yaml"):
            documents += [part.strip("\n") for part in re.split(r"(?m)^---$", rendered[name])]
    return [document for document in documents if yaml.safe_load(document)]


def tidy(document):
    # Empty lines are what a template's absent parts leave. No parsing and dumping: comments stay.
    lines = [line.rstrip() for line in document.splitlines()]
    return "\n".join(line for line in lines if line)


def kustomized(documents):
    # Kustomize sets the namespace, and it is nobody's release.
    texts = [re.sub(r"(?m)^  namespace: plumbline\n", "", document, count=1) for document in documents]
    texts = [tidy(text.replace("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kustomize")) for text in texts]
    return f"# {MADE}\n" + "\n---\n".join(texts) + "\n"


def kind(document):
    return yaml.safe_load(document)["kind"]


def kustomize():
    elsewhere = {"ConfigMap"}.union(*(kinds for _, kinds in PARTS.values()))
    base = render(FIXED)
    yield "base/plumbline.yaml", kustomized(document for document in base if kind(document) not in elsewhere)
    [settings] = [yaml.safe_load(document)["data"] for document in base if kind(document) == "ConfigMap"]
    yield "base/settings.env", f"# {MADE}\n" + "".join(f"{name}={value}\n" for name, value in settings.items())
    for name, (values, kinds) in PARTS.items():
        yield name, kustomized(document for document in render(values) if kind(document) in kinds)


def rows(schema, values, path):
    for name, entry in schema["properties"].items():
        here = path + [name]
        default = values.get(name) if isinstance(values, dict) else None
        if "properties" in entry and "requests" not in entry["properties"]:
            if "description" in entry:
                yield here, None, entry["description"]
            yield from rows(entry, default or {}, here)
        else:
            yield here, default, entry["description"]


def readme():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    table = ["| value | default | |", "|---|---|---|"]
    for path, default, description in rows(schema, values, []):
        shown = "" if default is None or default in ("", [], {}) else f"`{json.dumps(default)}`"
        if len(shown) > 90:
            shown = "see values.yaml"
        table.append(f"| `{'.'.join(path)}` | {shown} | {description} |".replace("  ", " "))
    return "\n".join(
        [
            "# The Helm chart of Plumbline",
            "",
            f"<!-- {MADE.replace('change that instead', 'change values.yaml and values.schema.json instead')} -->",
            "",
            "How it is installed is in [OPERATIONS.md](../../../docs/OPERATIONS.md#install). A value that is not listed here is refused.",
            "",
            *table,
            "",
        ]
    )


def rules():
    """The files of Prometheus's rules, for the chart cannot read outside itself."""
    paths = [DEPLOY / "prometheus" / name for name in ("rules.yml", "alerts.yml")]
    return {CHART / "rules" / path.name: path.read_text() for path in paths if path.exists()}


def made():
    yield CHART / "README.md", readme()
    for name, text in kustomize():
        yield KUSTOMIZE / name, text


def write(target, text):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def main(verb, *arguments):
    if verb == "write":
        for target, text in rules().items():
            write(target, text)
        for target, text in made():
            write(target, text)
    elif verb == "compare":
        wrong = [target for target, text in [*rules().items(), *made()] if not target.exists() or target.read_text() != text]
        for target in wrong:
            print(f"error: {target.relative_to(DEPLOY.parent)} is not what the chart makes; run: make deploy-render", file=sys.stderr)
        return 1 if wrong else 0
    elif verb == "render":
        values = yaml.safe_load(pathlib.Path(arguments[0]).read_text()) or {}
        print("\n---\n".join(tidy(document) for document in render(values, namespace=arguments[1])))
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["help"]))
