"""Serving of models: the repository, desired state, and one model's pipeline."""
