"""Client stubs and channels for the three services of Assay."""
