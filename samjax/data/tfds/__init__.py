"""SA-1B as a dataset of TFDS: array_record shards that are written once and read fast.

The features are those of the published builder `segment_anything` 1.0.0, so that plain
`tfds.data_source` reads them; images are as small as training wants them, run lengths
are the original ones. Nothing here needs tensorflow.
"""
