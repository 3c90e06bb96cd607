"""Drawn scenes: training data of the reference model, and parity probes."""
