"""Layouts of published datasets, one a file: functions that return their `Entries`.

`samjax.evaluation.datasets.published` has a row per dataset with the function that opens
it. Another dataset of a known layout is a row there; another layout is a file here.
"""
