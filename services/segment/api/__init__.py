"""The segment service's rpcs: each file parses, calls and replies for one group of them."""
