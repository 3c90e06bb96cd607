"""Scoring on many machines: units of work, their results, Ray."""
