"""Pictures that keep their proportions, or go through a model in overlapping windows."""
