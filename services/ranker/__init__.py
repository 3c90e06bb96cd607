"""Measures what is claimed of artifacts, and compares them by what was found."""
