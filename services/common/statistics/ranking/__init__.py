"""Several artifacts compared: how surely one is better than another."""
