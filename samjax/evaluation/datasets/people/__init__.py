"""Datasets of people with groups that annotators perceived: MIAP, FACET, a user's table."""
