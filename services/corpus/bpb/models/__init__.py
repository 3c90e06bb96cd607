"""Language models and the engines that run them.

registry, choice   models by name, and what runs one
language_model     what scoring needs of a model; compute: what a caller may ask of its engine
checkpoint/        a directory of weights and configuration, and whether all of it is a model's
tokenizers/        text as tokens
engines/           torch, OpenVINO, ONNX Runtime
checks/            whether a model may be trusted: causal, equal to the reference, not guessing
merge_adapter      a command: a LoRA adapter and its base model as one
"""
