"""The ranker's stored data: evidence, manifests, outcomes, backups."""
