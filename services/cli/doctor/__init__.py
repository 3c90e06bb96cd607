"""Examinations of `assay doctor`: software, machine, stored data, running services."""
