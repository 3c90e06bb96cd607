"""The index of a shard: where its frames are, what they hold, and how it is made and checked."""
