"""Replies of the contract as what the templates show: words, figures, drawings, addresses."""
