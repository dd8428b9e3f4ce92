"""Write the rules of monitoring/ as the Prometheus Operator wants them: each file, as it is, in a PrometheusRule.

python k8s/rules.py >k8s/components/monitoring-operator/rules.yaml
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

HEAD = """---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: slipway-{name}
  labels:
    release: kube-prometheus-stack
spec:
"""

sys.stdout.write("# Made by make k8s-rules of monitoring/prometheus/rules; change it there.\n")
for path in sorted(Path("monitoring/prometheus/rules").glob("*.yml")):
    sys.stdout.write(HEAD.format(name=path.stem) + textwrap.indent(path.read_text("utf-8"), "  "))
