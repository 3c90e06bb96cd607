"""A corpus that any machine with Python can build for itself."""
