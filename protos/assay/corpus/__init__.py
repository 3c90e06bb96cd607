"""The contract of the corpus service, by version."""
