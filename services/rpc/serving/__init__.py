"""The server around a service's rpcs. Only a service's `__main__` builds one.

service       what a service passes to its server
server        the server; process: runs it as a process until a signal; starting: signals before it
listening     ports, and why a port cannot be opened
interceptor   what happens around every call; intake: limits the memory of requests
http          the HTTP port next to the gRPC port; http_connection and http_request are its parts
health, tls, metrics, logs, memory, failure   one subject each
"""
