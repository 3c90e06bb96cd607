"""What the services share besides the plumbing. It knows none of them, and no message."""
