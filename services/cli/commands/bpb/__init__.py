"""Commands of bits per byte: score, prove, audit."""
