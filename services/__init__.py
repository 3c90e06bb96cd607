"""Assay's three services, the plumbing that they share, and the command `assay`."""

import os

# Releases of ONNX Runtime report the machine and its use to their maker, and keep a number of the
# machine at home. It is read once, when ONNX Runtime is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
