"""Assay's three services, the plumbing that they share, and the command `assay`."""
