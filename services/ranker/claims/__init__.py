"""Claims: manifests, facts, evidence and verdicts."""
