"""`make sbom`: what a release installs, as CycloneDX: the wheel by its hash, and each package of requirements/run.lock.

python -m tests.release.sbom [FOLDER]      reads the wheel in FOLDER (dist) and writes its bill of materials beside it
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from tests.release.dist import ROOT, commit_time

LOCK = ROOT / "requirements" / "run.lock"
VERSION = "1.6"  # of CycloneDX


def made() -> dict[str, Any]:
    """The bill of materials as cyclonedx-py makes it of the lock; the same each time for one commit."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "bom.json"
        command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(LOCK)]
        command += ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library", "--sv", VERSION]
        command += ["--output-reproducible", "--of", "JSON", "-o", str(out)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(commit_time())}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        bill: dict[str, Any] = json.loads(out.read_text())
    return bill


def completed(bill: dict[str, Any], wheel: Path) -> dict[str, Any]:
    """With the wheel's name and hash, what it asks for itself, and references that stay when lines move."""
    refs = {}
    for component in bill["components"]:
        refs[component["bom-ref"]] = component["purl"]
        component["bom-ref"] = component["purl"]
        component.pop("description", None)  # the line of the lock once more
    root = bill["metadata"]["component"]
    root["purl"] = f"pkg:pypi/{root['name']}@{root['version']}"
    refs[root["bom-ref"]] = root["bom-ref"] = root["purl"]
    root["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    direct = direct_names()
    asked = [part["purl"] for part in bill["components"] if part["name"].lower().replace("_", "-") in direct]
    bill["dependencies"] = [{"ref": ref} for ref in sorted(refs.values()) if ref != root["purl"]]
    bill["dependencies"].append({"ref": root["purl"], "dependsOn": sorted(asked)})
    return bill


def direct_names() -> set[str]:
    """The packages that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[^A-Za-z0-9_.-]", row)[0].lower().replace("_", "-") for row in project["dependencies"]}


def misfit(text: str) -> str:
    """What is wrong with it by CycloneDX's own schema; "" where nothing is."""
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from cyclonedx.validation import make_schemabased_validator

    found = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.from_version(VERSION)).validate_str(text)
    return str(found)[:500] if found else ""


def main(folder: Path) -> int:
    """The exit code."""
    wheels = sorted(folder.glob("robusteval-*.whl"))
    if len(wheels) != 1:
        print(f"There is not one wheel in {folder}: run `make dist` first.")
        return 1
    text = json.dumps(completed(made(), wheels[0]), indent=1, sort_keys=True) + "\n"
    if wrong := misfit(text):
        print(f"The bill of materials is not valid: {wrong}")
        return 1
    target = folder / f"{'-'.join(wheels[0].name.split('-')[:2])}.cdx.json"
    target.write_text(text)
    print(f"{target}: CycloneDX {VERSION}, {len(json.loads(text)['components'])} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
