"""SA-1B as a TFDS dataset: array_record shards, written once and read fast.

The features are those of the published builder `segment_anything` 1.0.0, so that plain
`tfds.data_source` reads them; images are reduced to the size of training, RLE strings
are the original ones. TensorFlow is not needed.
"""
