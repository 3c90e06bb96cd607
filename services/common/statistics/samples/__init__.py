"""Bits per byte of a corpus from a sample of its bytes."""
