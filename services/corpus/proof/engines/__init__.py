"""What gives a model's whole distribution token by token; the libraries of models stay here."""
