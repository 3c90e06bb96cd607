"""What runs an exported graph: one module an engine, one choice between them."""
