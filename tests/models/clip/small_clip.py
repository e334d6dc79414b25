"""A small CLIP, every number random and of the scale of trained ones."""

import numpy as np

from samjax.models.clip import ClipConfig
from samjax.models.clip.family import entries

# No two sizes are equal where the table could mix them up.
SMALL = ClipConfig(
    image_size=24,
    patch_size=8,
    embed_dim=20,
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
    quick_gelu=True,
)


def random_state(config: ClipConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """A state dict under released names."""
    generator = np.random.default_rng(seed)

    def draw(entry):
        noise = generator.standard_normal(entry.shape, np.float32)
        if entry.released == "logit_scale":
            return np.float32(2.6) + np.float32(0.1) * noise
        if entry.path[-1] in ("kernel", "in_proj_weight"):
            return noise / np.sqrt(np.prod(entry.shape[1:]), dtype=np.float32)
        if entry.path[-1] in ("proj", "text_projection"):
            return noise / np.sqrt(np.float32(entry.shape[0]))
        scale = entry.path[-1] == "scale"
        return np.float32(0.2) * noise + np.float32(scale)

    return {entry.released: np.asarray(draw(entry)) for entry in entries(config)}


def tree_of(config: ClipConfig, state: dict[str, np.ndarray]) -> dict:
    """The parameter tree of a state dict, put together without the reader."""
    tree: dict = {}
    for entry in entries(config):
        *folders, leaf = entry.path
        place = tree
        for name in folders:
            place = place.setdefault(name, {})
        place[leaf] = entry.to_tree(state[entry.released])
    return tree


def random_tokens(config: ClipConfig, count: int, seed: int = 1) -> np.ndarray:
    """Rows from a start to an end token of random lengths, zero behind it."""
    generator = np.random.default_rng(seed)
    start, end = config.vocab_size - 2, config.vocab_size - 1
    rows = np.zeros((count, config.context_length), np.int32)
    for row in rows:
        length = int(generator.integers(0, config.context_length - 1))
        words = generator.integers(0, start, length)
        row[: length + 2] = [start, *words, end]
    return rows
