"""The plumbing that every service shares: one way to serve, log, count, refuse and stop.

It knows no service. A service's `__main__` builds a `serving.service.Service` and calls
`serving.process.run`; the rest, beside `access/` and `settings`, is what its rpcs use.
"""
