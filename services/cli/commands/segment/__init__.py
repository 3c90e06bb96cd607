"""Commands of segmentation: label pictures, export, evaluate and time models."""
