"""Cores that all services share."""
