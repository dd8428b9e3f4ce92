"""What `.grype.yaml` accepts, it accepts until a day."""

import subprocess
import sys

import pytest

from checkouts import ROOT

ENTRY = "ignore:\n  - vulnerability: GHSA-1\n    package: {{name: uvicorn}}\n    reason: unused; {}\n"


@pytest.mark.parametrize(
    ("until", "said"),
    [("until 2999-01-01", None), ("until 2020-01-01", "GHSA-1: ended on 2020-01-01"), ("", "no `until YYYY-MM-DD`")],
)
def test_a_finding_is_accepted_until_a_day(until, said, tmp_path):
    (tmp_path / ".grype.yaml").write_text(ENTRY.format(until))
    done = subprocess.run([sys.executable, ROOT / "stack/accepted.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0) == (said is None)
    assert (said or "") in done.stderr


def test_without_the_file_nothing_is_accepted(tmp_path):
    assert subprocess.run([sys.executable, ROOT / "stack/accepted.py"], cwd=tmp_path).returncode == 0
