"""Language models and the engines that run them."""
