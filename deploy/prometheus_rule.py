"""Prints the rules of the component `monitoring` as a PrometheusRule.

    python deploy/prometheus_rule.py > deploy/components/prometheus-operator/rules.yaml

A test compares the two.
"""

from __future__ import annotations

import sys
from pathlib import Path

RULES = Path(__file__).resolve().parent / "components" / "monitoring" / "rules.yaml"
HEAD = """\
# Of components/monitoring/rules.yaml, by deploy/prometheus_rule.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: assay
spec:
"""


def main() -> None:
    """Print the object; its rules are the file's own lines, indented."""
    sys.stdout.write(HEAD)
    for line in RULES.read_text("utf-8").splitlines():
        sys.stdout.write(f"  {line}\n" if line else "\n")


if __name__ == "__main__":
    main()
