"""The contract of the ranker service, by version."""
