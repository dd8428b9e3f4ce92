"""Add the model and its data to the list of packages, and a serial number, which attestations ask for.

python stack/sbom.py build/sbom.cdx.json champion

The second argument is the folder of the release: its `bundle/` and, if there is one, its `evaluation/`. The same list
and release give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from pathlib import Path
from typing import Any


def components(release: Path) -> list[dict[str, Any]]:
    """Describe the model and its data as CycloneDX has them: kinds `machine-learning-model` and `data`."""
    content = (release / "bundle" / "manifest.json").read_bytes()
    manifest, digest = json.loads(content), hashlib.sha256(content).hexdigest()
    scores = release / "evaluation" / "metrics.json"
    metrics = [
        {
            "type": name,
            "value": str(score["value"]),
            "confidenceInterval": {"lowerBound": str(score["low"]), "upperBound": str(score["high"])},
        }
        for name, score in (json.loads(scores.read_bytes()) if scores.exists() else {}).items()
    ]
    data = {
        "type": "data",
        "bom-ref": "data",
        "name": f"{manifest['name']}-data",
        "version": manifest["data"],
        "data": [{"type": "dataset", "name": f"{manifest['name']}-data"}],
    }
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest["name"],
        "version": digest[:12],
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "modelCard": {
            "modelParameters": {
                "task": manifest["kind"],
                "modelArchitecture": manifest["estimator"],
                "datasets": [{"ref": "data"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": metrics},
        },
    }
    return [model, data]


def main(path: Path, release: Path) -> None:
    """Complete the list in `path`; done twice it is the same."""
    listed = json.loads(path.read_text("utf-8"))
    listed.pop("serialNumber", None)
    packages = [item for item in listed.get("components", []) if item.get("bom-ref") not in ("model", "data")]
    listed["components"] = [*packages, *components(release)]
    others = [item for item in listed.get("dependencies", []) if item["ref"] not in ("model", "data")]
    listed["dependencies"] = [*others, {"ref": "model", "dependsOn": ["data"]}, {"ref": "data"}]
    content = json.dumps(listed, sort_keys=True)
    listed["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, content).urn
    path.write_text(json.dumps(listed, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
