"""The plumbing that every service shares: one way to serve, log, count, refuse and stop.

It knows no service. A service's `__main__` builds a `server.Service` and calls `server.run`.
"""
