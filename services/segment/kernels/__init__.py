"""CUDA kernels beside the model: pictures are resized and label maps made where the logits are."""
