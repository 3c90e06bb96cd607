"""Measures claims about artifacts, and compares artifacts by the evidence found."""
