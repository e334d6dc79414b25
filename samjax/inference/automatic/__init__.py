"""Automatic mask generation ("everything mode"; SAM, section 4 and appendix B).

`generate.generate_masks` segments an image from a grid of point prompts,
`incremental.generate_in_steps` does so chunk by chunk, and
`tiles.generate_masks_in_tiles` segments images that are too large for the model.
"""
