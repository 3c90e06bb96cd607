"""Version 1 of the contract, in the making, generated from protos/assay/audit/v1alpha1."""
