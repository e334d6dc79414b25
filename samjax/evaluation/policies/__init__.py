"""Prompt policies: how the objects of an image are prompted, one a file."""
