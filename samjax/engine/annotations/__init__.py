"""Annotations: masks that people made or corrected, with their provenance, in SQLite."""
