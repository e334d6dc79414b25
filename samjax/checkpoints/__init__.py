"""Weights and training state on disk: every file format of them.

`load` returns a model and its parameters from a released name, a file or a folder;
`convert` converts any form to any other; `save` writes samjax's own. Underneath is
one table of names and layouts, `samjax.models.weight_map`.
"""

from samjax.checkpoints.convert import convert
from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.loading import load, locate
from samjax.checkpoints.releases import RELEASES, Release
from samjax.checkpoints.sizes import config_from_shapes
from samjax.checkpoints.writer import save

__all__ = [
    "RELEASES",
    "CheckpointError",
    "Release",
    "config_from_shapes",
    "convert",
    "load",
    "locate",
    "save",
]
