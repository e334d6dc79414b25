"""A model family as a sibling folder: another image encoder before SAM's decoder."""
