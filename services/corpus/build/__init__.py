"""Builds a corpus from sources, as a recipe says: filtered, without duplicates, described."""
