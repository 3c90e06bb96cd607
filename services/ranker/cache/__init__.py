"""Comparisons kept in Redis or in memory."""
