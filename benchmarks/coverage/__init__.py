"""Simulations of how often intervals hold the truth, a file a kind of data."""
