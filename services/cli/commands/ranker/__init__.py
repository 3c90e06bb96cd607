"""Commands of the ranker: claims, comparisons, ranks, registration, its database."""
