"""Sequences of tokens: texts cut once, packed, and delivered in an order of their own."""
