"""The files of a corpus: decoding shards, frames, documents, and their index."""
