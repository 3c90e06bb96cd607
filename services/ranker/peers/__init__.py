"""Calls to the segment and corpus services."""
