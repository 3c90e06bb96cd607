"""From a SegFormer checkpoint to an exported model directory. Needs the `export` extra."""
