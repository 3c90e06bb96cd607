"""Version 2 of the protocol, generated from protos/assay/inference/v2/open_inference.proto."""
