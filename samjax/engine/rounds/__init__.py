"""Rounds of the data engine: people annotate, the model learns, the next round is faster.

`project` is the folder of a project, `config` the options of a round, `steps` its steps in
their order, each of which leaves a file that is written last; `comparing` decides which of
two models assists, `proposing` puts proposals into the store, `report` writes the page.
"""
