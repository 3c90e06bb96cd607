"""Version 1 of the contract; its modules are generated from the .proto file beside them."""
