"""What runs language models: torch, OpenVINO and ONNX Runtime."""
