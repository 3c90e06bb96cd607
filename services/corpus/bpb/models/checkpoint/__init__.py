"""Directories of language models, before and while they are loaded."""
