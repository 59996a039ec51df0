#!/usr/bin/env python3
"""Kubernetes objects in files.

    objects.py known VERSIONS FILE... strictly by the schemas of those Kubernetes, all but the custom ones
    objects.py join FILE...           print them as one file
    objects.py typescript FILE...     print the custom ones as constants of their types
"""

import json
import pathlib
import sys

import kubernetes_validate
import yaml

# Where the types of other projects' objects are; None for those whose types no package has.
TYPES = {
    "external-secrets.io/v1": "@kubernetes-models/external-secrets",
    "keda.sh/v1alpha1": "@kubernetes-models/keda",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator",
    "postgresql.cnpg.io/v1": "@kubernetes-models/cloudnative-pg",
    "rabbitmq.com/v1beta1": None,
}


def objects(files):
    for file in files:
        for parsed in yaml.safe_load_all(pathlib.Path(file).read_text()):
            if parsed:
                yield file, parsed


def known(versions, files):
    checked = wrong = 0
    for file, each in objects(files):
        if each["apiVersion"] in TYPES:
            continue
        for version in versions.split():
            checked += 1
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                wrong += 1
                path = ".".join(str(part) for part in error.path)
                print(f"error: {file}: {each['kind']} {each['metadata']['name']} for {version}: {path}: {error.message}", file=sys.stderr)
    print(f"{checked} objects checked")
    return 1 if wrong or not checked else 0


def typescript(files):
    seen = set()
    for number, (file, each) in enumerate(objects(files)):
        version, name = each["apiVersion"], each["kind"]
        package = TYPES.get(version)
        if package is None:
            continue
        if (version, name) not in seen:
            seen.add((version, name))
            print(f"import type {{ I{name} }} from '{package}/{version}/{name}';")
        print(f"// {file}: {name} {each['metadata']['name']}\nexport const object{number}: I{name} = {json.dumps(each, indent=1)};")
    return 0


verb, *arguments = sys.argv[1:]
if verb == "known":
    sys.exit(known(arguments[0], arguments[1:]))
elif verb == "typescript":
    sys.exit(typescript(arguments))
elif verb == "join":
    print("---\n".join(pathlib.Path(file).read_text() for file in arguments))
else:
    sys.exit(__doc__)
