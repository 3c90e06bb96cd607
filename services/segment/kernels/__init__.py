"""CUDA kernels that resize pictures and make label maps on the GPU that holds the logits."""
