"""Version 1 of the contract, generated from protos/assay/segment/v1."""
