"""The packaged reference language model, and how it was made."""
