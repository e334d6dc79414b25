"""The model of Segment Anything as pure Linen modules: arrays in, arrays out.

The files are the boxes of the paper's figure 4 (SAM, arXiv 2304.02643):
`image_encoder`, `prompt_encoder` and `mask_decoder`, combined in `sam`. Beside them are
`config` (architectures and compute options), `params` (paths of the parameter tree),
`weight_map` (names of parameters in files) and `family` (further architectures, each in
a folder of its own).

No file here reads or writes files or imports another part of samjax. Modules do not
choose devices; those of attention follow the mesh that is set (`jax.set_mesh`) and the
platform that they are compiled for.

Letters in shapes: `b` image, `p` prompt set of an image, `n` prompt point, `t` token,
`m` mask of a prompt set, `h w` grid, `c` channels, `d` channels of one head.
"""

from samjax.models.config import (
    SIZES,
    SMALL,
    TINY,
    VIT_B,
    VIT_H,
    VIT_L,
    SamArchitecture,
    SamConfig,
)
from samjax.models.prompt_encoder import (
    ABSENT,
    BACKGROUND,
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    FOREGROUND,
    NOT_A_POINT,
    PromptEmbeddings,
    PromptInputs,
)
from samjax.models.sam import MaskPrediction, Sam

__all__ = [
    "ABSENT",
    "BACKGROUND",
    "BOX_BOTTOM_RIGHT",
    "BOX_TOP_LEFT",
    "FOREGROUND",
    "NOT_A_POINT",
    "SIZES",
    "SMALL",
    "TINY",
    "VIT_B",
    "VIT_H",
    "VIT_L",
    "MaskPrediction",
    "PromptEmbeddings",
    "PromptInputs",
    "Sam",
    "SamArchitecture",
    "SamConfig",
]
