"""Version 1 of the contract, generated from protos/assay/corpus/v1."""
