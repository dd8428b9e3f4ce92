"""Give the list of packages a serial number, which attestations ask for: the same for the same list.

python stack/sbom.py build/sbom.cdx.json
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

path = Path(sys.argv[1])
listed = json.loads(path.read_text("utf-8"))
listed.pop("serialNumber", None)
content = json.dumps(listed, sort_keys=True)
listed["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, content).urn
path.write_text(json.dumps(listed, indent=2) + "\n", "utf-8")
