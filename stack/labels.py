"""The labels of an image, as options of `docker build`: its source, and the model in it.

python stack/labels.py champion
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path


def git(*words: str) -> str:
    """Run git; an empty text if it fails."""
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip()


content = Path(sys.argv[1], "bundle", "manifest.json").read_bytes()
manifest, digest = json.loads(content), hashlib.sha256(content).hexdigest()
url = git("config", "--get", "remote.origin.url")
labels = {
    "SOURCE": re.sub(r"//[^/@]*@", "//", url).removesuffix(".git"),  # without a password
    "REVISION": git("rev-parse", "HEAD"),
    "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct"),
    "MODEL_NAME": manifest["name"],
    "MODEL_VERSION": digest[:12],
    "MODEL_DIGEST": digest,
    "DATA_DIGEST": manifest["data"],
}
sys.stdout.writelines(f"--build-arg={name}={value}\n" for name, value in labels.items())
