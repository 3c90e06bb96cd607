"""The corpus service's rpcs: each file parses, calls and replies for one family."""
