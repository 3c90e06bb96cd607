"""Streaming in an exact order: selection, plan, position, cursor, reading."""
