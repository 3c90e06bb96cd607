"""What the contracts of the three services share, by version."""
