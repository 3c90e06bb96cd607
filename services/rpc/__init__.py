"""Plumbing that every service shares: one way to serve, log, count, refuse and stop.

No module here knows a service. A service's `__main__` builds a `serving.service.Service` and calls
`serving.process.run`. Its rpcs use everything else except `access/` and `settings`.
"""
