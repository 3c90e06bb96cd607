"""Verification: from a claim to evidence, by registered methods."""
