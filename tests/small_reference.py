"""A small reference model for the tests of numerics traps, and deviations from it.

Each trap is a way to get the model slightly wrong that others fell into. Its test has
two halves: the small model agrees with the PyTorch reference, and stops agreeing as
soon as the trap is sprung by a patch. A probe that could not tell would fail.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from samjax.models import PromptInputs, Sam, SamConfig

AGREES = 2e-5
BREAKS = 1e-3

# A grid of 16 with windows of 14, so that windows are padded as at 1024.
CONFIG = SamConfig(
    image_size=256,
    embed_dim=64,
    depth=3,
    num_heads=2,
    global_attention_blocks=(1,),
    drop_path_rate=0.5,
)


@functools.cache
def reference(faint: bool = False):
    """The small reference; `faint` has activations small enough to feel an epsilon."""
    import reference as published
    import torch

    sam = published.build_reference(CONFIG, seed=3)
    if faint:
        with torch.no_grad():
            for name, tensor in sam.state_dict().items():
                if "patch_embed" in name or "pos_embed" in name:
                    tensor *= 1e-3
                if "mask_decoder.transformer" in name and "norm" not in name:
                    tensor *= 0.03
                if "embed" in name and "prompt_encoder" in name or "token" in name:
                    tensor *= 0.03
    params = published.to_params(sam, CONFIG)
    return sam, jax.tree.map(jnp.asarray, params)


@functools.cache
def pixels() -> jax.Array:
    noise = np.random.default_rng(1).standard_normal((1, 256, 256, 3))
    noise[:, 200:] = 0
    return jnp.asarray(noise, jnp.float32)


@functools.cache
def reference_embedding(faint: bool = False) -> np.ndarray:
    import torch

    with torch.no_grad():
        nchw = torch.tensor(np.asarray(pixels()).transpose(0, 3, 1, 2))
        return reference(faint)[0].image_encoder(nchw).numpy().transpose(0, 2, 3, 1)


def deviation(ours, theirs) -> float:
    theirs = np.asarray(theirs)
    return float(np.abs(np.asarray(ours) - theirs).max() / np.sqrt(np.mean(theirs**2)))


def encoder_deviation(params=None, faint: bool = False) -> float:
    params = reference(faint)[1] if params is None else params
    ours = Sam(CONFIG).apply({"params": params}, pixels(), method="encode_image")
    return deviation(ours, reference_embedding(faint))


POINTS, LABELS = [[200.0, 40.0], [31.5, 77.0]], [1, 0]
BOX = [20.0, 60.0, 180.0, 130.0]


@functools.cache
def reference_masks(case: str, faint: bool = False):
    import torch

    sam = reference(faint)[0]
    points = boxes = masks = None
    if "points" in case:
        points = torch.tensor([POINTS]), torch.tensor([LABELS])
    if "box" in case:
        boxes = torch.tensor([BOX])
    if "mask" in case:
        masks = torch.from_numpy(mask_prompt())[None, None]
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=masks)
        logits, scores = sam.mask_decoder.predict_masks(
            image_embeddings=torch.from_numpy(
                reference_embedding().transpose(0, 3, 1, 2)
            ),
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
    return logits.numpy(), scores.numpy()


def mask_prompt() -> np.ndarray:
    return 5 * np.random.default_rng(2).standard_normal((64, 64)).astype(np.float32)


def prompt_inputs(case: str, *, pad: tuple = ((0.0, 0.0),), corners=(2, 3)):
    points, labels = [], []
    if "points" in case:
        points, labels = list(POINTS), list(LABELS)
        if "box" not in case:
            points, labels = points + list(pad), labels + [-1] * len(pad)
    if "box" in case:
        points, labels = points + [BOX[:2], BOX[2:]], labels + list(corners)
    return PromptInputs(
        jnp.asarray(points, jnp.float32).reshape(1, 1, -1, 2),
        jnp.asarray(labels, jnp.int32).reshape(1, 1, -1),
        jnp.asarray(mask_prompt())[None, None] if "mask" in case else None,
    )


def decoder_deviation(case: str, params=None, inputs=None, faint=False) -> float:
    params = reference(faint)[1] if params is None else params
    ours = Sam(CONFIG).apply(
        {"params": params},
        jnp.asarray(reference_embedding()),
        prompt_inputs(case) if inputs is None else inputs,
        method="decode",
    )
    logits, scores = reference_masks(case, faint)
    return max(
        deviation(ours.low_res_logits[0], logits),
        deviation(ours.iou_predictions[0], scores),
    )


def edited(params: dict, path: str, edit) -> dict:
    """A copy of the parameters with one array changed."""
    head, _, rest = path.partition("/")
    inner = edited(params[head], rest, edit) if rest else edit(params[head])
    return {**params, head: inner}
