#!/usr/bin/env python3
"""What the image must be: image.py ROOT INSPECT_JSON. Prints its size."""

import json
import pathlib
import stat
import struct
import sys
import tomllib
import zlib

# What it takes on a node; what is pulled is compressed, and less than half of it.
BYTES_MAX = 40_000_000
PROGRAM = "usr/bin/plumbline"
NAMES = {"usr/bin/plumbline-api", "usr/bin/plumbline-dispatcher"}
OTHERS = {
    "etc/group",
    "etc/hosts",
    "etc/nsswitch.conf",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "usr/share/doc/plumbline/LICENSE",
}
BILLS = {"usr/share/sbom/programs.cdx.json"}
CONSOLE = pathlib.Path("crates/api/console/package.json")

root = pathlib.Path(sys.argv[1])
[inspected] = json.loads(pathlib.Path(sys.argv[2]).read_text())
wrong = []
if CONSOLE.exists():
    BILLS.add("usr/share/sbom/console.cdx.json")

files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_symlink() or path.is_file()}
expected = {PROGRAM} | NAMES | OTHERS | BILLS
if files.keys() != expected:
    wrong.append(f"files that should not be there, or are missing: {sorted(files.keys() ^ expected)}")
for name in NAMES:
    path = files.pop(name, None)
    if path is None or not path.is_symlink() or str(path.readlink()) != "plumbline":
        wrong.append(f"{name} is not a name of {PROGRAM}")
for name, path in files.items():
    mode = path.stat().st_mode
    if mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH) or path.stat().st_uid != 0:
        wrong.append(f"{name} has the mode {oct(mode)} and the owner {path.stat().st_uid}")
    if not mode & stat.S_IROTH:
        wrong.append(f"{name} cannot be read by the user that it is for")


def interpreter(path):
    """Whether a program asks for a dynamic linker, by its program headers."""
    content = path.read_bytes()
    offset, size, count = struct.unpack_from("<Q", content, 32)[0], *struct.unpack_from("<HH", content, 54)
    return any(struct.unpack_from("<I", content, offset + number * size)[0] == 3 for number in range(count))


if PROGRAM in files and interpreter(files[PROGRAM]):
    wrong.append(f"{PROGRAM} is not static")

with open("Cargo.lock", "rb") as lock:
    locked = {(package["name"], package["version"]) for package in tomllib.load(lock)["package"]}
for name in sorted(BILLS & files.keys()):
    bill = json.loads(files[name].read_text())
    components = {(component["name"], component["version"]) for component in bill.get("components", [])}
    if bill.get("bomFormat") != "CycloneDX" or not components:
        wrong.append(f"{name} is no bill of materials")
    if "console" not in name and not (components <= locked and {"tokio", "ring"} <= {component for component, _ in components}):
        wrong.append(f"{name} is not what Cargo.lock says: {sorted(components - locked)[:5]}")
    print(f"{name}: {len(components)} components")

config = inspected["Config"]
expected = {"User": "65532:65532", "Cmd": ["plumbline-api"], "Entrypoint": None}
for key, value in expected.items():
    if config.get(key) != value:
        wrong.append(f"{key} is {config.get(key)}")
for label in ("title", "description", "licenses", "version", "revision"):
    if not config["Labels"].get(f"org.opencontainers.image.{label}"):
        wrong.append(f"there is no label {label}")

size = sum(path.stat().st_size for path in files.values())
pulled = sum(len(zlib.compress(path.read_bytes(), 6)) for path in files.values())
print(f"{pulled / 1e6:.1f} MB to pull, {size / 1e6:.1f} MB unpacked")
if size > BYTES_MAX:
    wrong.append(f"it is larger than {BYTES_MAX / 1e6:.0f} MB unpacked")

for each in wrong:
    print(f"error: the image: {each}", file=sys.stderr)
sys.exit(1 if wrong else 0)
