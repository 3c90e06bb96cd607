"""The Open Inference Protocol, by version."""
