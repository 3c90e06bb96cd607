"""Several artifacts side by side: how surely one is better than another."""
