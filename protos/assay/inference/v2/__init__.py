"""Version 2 of the protocol; its modules are generated from the .proto file beside them."""
