"""Training with text prompts as in the paper (SAM, appendix D.5).

The first prompt of a mask is CLIP's image embedding of a crop around it; points follow.
At inference CLIP's text embedding takes its place.
"""
