"""Prompt policies: rules by which a segmenter is prompted for an image, one a file.

`policy.PromptPolicy` is the protocol. A suite holds its policies as values, so that a new
one is one file.
"""
