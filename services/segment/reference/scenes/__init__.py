"""Drawn scenes with a class for every pixel: what the reference model is trained on."""
