"""A small SigLIP, every number random and of the scale of trained ones."""

import dataclasses

import numpy as np

from samjax.models.siglip import SiglipConfig
from samjax.models.siglip.family import entries

# No two sizes are equal where the table could mix them up. 26 pixels leave two out.
SMALL = SiglipConfig(
    image_size=26,
    patch_size=8,
    vision_width=48,
    vision_depth=2,
    vision_heads=3,
    vision_mlp_dim=80,
    text_width=32,
    text_depth=3,
    text_heads=4,
    text_mlp_dim=72,
    vocab_size=99,
    context_length=13,
)


def random_params(config: SiglipConfig, seed: int = 0) -> dict:
    """Every number random, matrices of the scale that keeps activations near 1."""
    generator = np.random.default_rng(seed)
    tree: dict = {}
    for entry in entries(config):
        noise = generator.standard_normal(entry.tree_shape, np.float32)
        *folders, leaf = entry.path
        if leaf in ("kernel", "in_proj_weight"):
            noise /= np.sqrt(np.prod(entry.shape[1:]), dtype=np.float32)
        else:
            noise = np.float32(0.2) * noise + np.float32(leaf == "scale")
        place = tree
        for name in folders:
            place = place.setdefault(name, {})
        place[leaf] = noise
    return tree


def with_vocabulary(folder):
    """Writes a small vocabulary; returns a config that has as many tokens."""
    from text.small_vocabularies import write_model

    from samjax.text import SiglipTokenizer

    write_model(folder / "spiece.model")
    size = SiglipTokenizer.read(folder).size
    return dataclasses.replace(SMALL, vocab_size=size)
