"""The data engine's loop with a simulated annotator, on drawn scenes.

`times` is the time that actions take a person, `annotator` makes masks by clicks,
`proposals` shows masks that the annotator takes or rejects, `rounds` closes the loop:
annotate, snapshot, fine-tune, evaluate, repeat.
"""
