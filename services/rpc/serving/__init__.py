"""The server around a service's rpcs. Only a service's `__main__` builds one.

service       what a service gives to its server
server        the server; process: the same as a process that signals end; starting: before it can
listening     ports, and why one can't be had
interceptor   what happens around every call; intake bounds the memory of requests
http          the HTTP port beside the gRPC one; http_connection and http_request are of it
health, tls, metrics, logs, memory, failure   a subject each
"""
