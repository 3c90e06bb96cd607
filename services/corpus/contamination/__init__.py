"""Texts of a test set in documents: n-grams of words, found by hash and verified byte by byte."""
