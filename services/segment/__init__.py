"""Semantic segmentation of images with SegFormer models."""
