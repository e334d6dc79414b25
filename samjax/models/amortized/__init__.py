"""The mask decoder's work on the image side, done once for all prompts of an image."""
