"""Bits per byte: how well a language model predicts the documents of a corpus."""
