"""Says whether a published bits-per-byte figure can be right, and by which mistake it is wrong."""
