"""Assay's three services, the plumbing that they share, and the command `assay`."""

import os

# Releases of ONNX Runtime send data about the machine and its use to their maker, and store a
# machine id in the home folder. ONNX Runtime reads this variable once, on its first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
