"""Compares bits per byte of further families of models with double precision.

    python -m benchmarks.bpb.double_further [FAMILY ...]

The same as `double.py`, with the families of `family_configs.FURTHER`: hybrids with state-space
layers, experts, short sliding windows, sparse attention. Writes
benchmarks/results/bpb/double_further.json and prints the rows that docs/bpb.md has.
"""

from __future__ import annotations

import sys

from benchmarks.bpb import double, family_configs

if __name__ == "__main__":
    sys.exit(double.main("bpb/double_further", family_configs.FURTHER))
