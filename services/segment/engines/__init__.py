"""What runs an exported graph: one module for each engine, and one choice between them."""
