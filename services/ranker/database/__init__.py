"""What the ranker keeps: evidence, manifests, outcomes, backups."""
