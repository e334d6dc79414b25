"""Stored annotations: masks that people made or corrected, with their provenance.

`store` has the reads and writes, `tables` the tables by version, `schema` how a file is
opened and migrated, `history` the former versions, `rows` the form of a row, `database`
the connections and the checks of the file, `errors` what a caller may have to handle. `tasks` is the
queue of images to annotate.
"""

from samjax.engine.annotations.encoded_mask import EncodedMask, encoded_mask
from samjax.engine.annotations.errors import AnnotationError
from samjax.engine.annotations.store import AnnotationStore

__all__ = ["AnnotationError", "AnnotationStore", "EncodedMask", "encoded_mask"]
