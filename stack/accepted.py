"""Refuse what `.grype.yaml` accepts without saying until when, or after that day.

python stack/accepted.py
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

path, today = Path(".grype.yaml"), datetime.now(UTC).date().isoformat()
text = path.read_text("utf-8") if path.exists() else ""
late = []
for entry in re.split(r"^\s*- ", text, flags=re.MULTILINE)[1:]:
    until = re.search(r"until (\d{4}-\d\d-\d\d)", entry)
    if not until or until[1] < today:
        late.append(f"{path}: {entry.splitlines()[0]}: {'ended on ' + until[1] if until else 'no `until YYYY-MM-DD`'}")
sys.exit("\n".join(late) or 0)
