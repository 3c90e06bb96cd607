"""Building on many machines: Ray."""
