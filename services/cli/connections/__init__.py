"""The services that a command calls: running ones, or private ones that it starts."""
