"""Times of runs: restarts, medians over them, and ratios of two."""
