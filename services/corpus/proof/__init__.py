"""Bits per byte that prove themselves: documents coded by a model into a file that decodes."""
