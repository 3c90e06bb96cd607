"""The contract of the segment service, by version."""
