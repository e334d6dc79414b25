"""Evaluation of promptable segmenters.

`suite.Suite` is a value of datasets x prompt policies x metrics, and `suite.evaluate` runs
it on a `segmenter.Segmenter`; nothing here sees parameters. Datasets, policies, metrics
and suites are folders with one of their kind a file; `suites.SUITES` is the table of what
`samjax evaluate --suite` knows.
"""
