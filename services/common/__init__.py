"""Modules that the services share besides the plumbing. They know no service and no message."""
