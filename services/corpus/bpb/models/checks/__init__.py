"""What a model has to pass before its figures are trusted."""
