"""The shipped rules and routes on a fast clock: a day passes in a minute."""

from __future__ import annotations

import re

DAY_SECONDS = 60
FASTER = 86_400 / DAY_SECONDS
STEP = "500ms"  # between two scrapes and between two evaluations: 15 s, divided, would be too often for any machine
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DURATION = re.compile(r"(\[|(?<=\w):|\boffset |\b(?:for|group_wait|group_interval|repeat_interval): )(\d+)([smhdw])\b")
INTERVAL = re.compile(r"\binterval: \d+[smhdw]\b")  # of a group of rules
COUNTED = re.compile(r"(:rate\w+(?: offset \w+)?) \* (\d+)")


def faster(text: str) -> str:
    """Divide the durations in Prometheus' rules or Alertmanager's configuration by FASTER; the rest stays as it is.

    These are windows, offsets and waits, and the seconds by which a rate is multiplied to count. Every group of rules
    is evaluated each STEP, so what looks back half an hour or less, as pages about errors do, sees too little here.
    Ages since a date (`time() - ...`) stay, as dates do not move faster.
    """
    counted = COUNTED.sub(lambda found: f"{found[1]} * {int(found[2]) / FASTER:g}", text)
    divided = DURATION.sub(lambda found: f"{found[1]}{_milliseconds(int(found[2]), found[3])}ms", counted)
    return INTERVAL.sub(f"interval: {STEP}", divided)


def _milliseconds(number: int, unit: str) -> int:
    return max(round(1000 * number * UNITS[unit] / FASTER), 1)
