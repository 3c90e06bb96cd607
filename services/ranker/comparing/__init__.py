"""Comparisons and ranks, computed from stored evidence."""
