"""Search over what artifacts can do, and the match graph."""
