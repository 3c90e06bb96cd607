"""Streams corpora of zstd-compressed jsonl, exactly, and scores language models on them."""
