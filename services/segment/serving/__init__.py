"""Models being served: the repository, desired state, and one model's pipeline."""
