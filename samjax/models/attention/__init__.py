"""Attention as each part of the model needs it.

The image encoder's: decomposed relative positions over a grid (`relative_positions`),
their kernel for TPUs (`splash`), sharding constraints on a mesh (`constraints`) and
stages of blocks compiled once (`scanned_blocks`). The mask decoder's: between a few
tokens and many image positions (`token_attention`).
"""

from samjax.models.attention.relative_positions import (
    AttentionKind,
    attend_with_relative_positions,
)

__all__ = ["AttentionKind", "attend_with_relative_positions"]
