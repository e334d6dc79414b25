"""Gradients of a whole step are those of the PyTorch reference under the same losses.

The widths of ViT-B at a grid of 16, one windowed and one global block, every tensor
random. The prompts are drawn by the step itself and written down; the reference answers
the same ones, feeds back its own masks, and picks among its own.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.batch import Batch
from samjax.models import (
    ABSENT,
    BACKGROUND,
    BOX_TOP_LEFT,
    FOREGROUND,
    VIT_B,
    Sam,
)
from samjax.models.weight_map import entries
from samjax.training import step as step_module
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.step import StepConfig, batch_loss

torch = pytest.importorskip("torch")
import reference as published

pytestmark = pytest.mark.parity

CONFIG = dataclasses.replace(
    VIT_B, image_size=256, depth=2, global_attention_blocks=(1,)
)
# A point or box, the mask alone, a correction, and the mask alone again.
STEP = StepConfig(prompts=PromptSimulationConfig(correction_points=1, remat=False))
SIZES = ((256, 200), (180, 256))
AGREES = 1e-4


def make_batch() -> Batch:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    masks = np.zeros((2, 3, 256, 256), bool)
    for image, (height, width) in enumerate(SIZES):
        for mask in range(3):
            y, x = rng.integers(0, (height - 90, width - 90))
            masks[image, mask, y : y + 30 * (mask + 1), x : x + 80] = True
    valid = np.array([[True, True, True], [True, True, False]])
    return Batch(images, np.array(SIZES, np.int32), masks, valid)


@pytest.fixture(scope="module")
def sam():
    sam = published.build_reference(CONFIG, seed=8)
    for parameter in sam.parameters():
        parameter.requires_grad_(True)
    return sam


@pytest.fixture(scope="module")
def ours(sam):
    """The loss, its gradient, and the prompts of every round, as samjax has them."""
    asked = []

    def recording_decoder(*args, **kwargs):
        decode = original(*args, **kwargs)

        def recorded(prompts):
            jax.debug.callback(
                lambda *arrays: asked.append([np.asarray(a) for a in arrays]),
                prompts.points,
                prompts.labels,
                ordered=True,
            )
            return decode(prompts)

        return recorded

    original = step_module.decoder_of
    params = jax.tree.map(jnp.asarray, published.to_params(sam, CONFIG))
    batch = jax.tree.map(jnp.asarray, make_batch())
    loss = functools.partial(batch_loss, model=Sam(CONFIG), config=STEP)
    gradient = jax.jit(
        jax.value_and_grad(loss, has_aux=True),
        # Compiling takes longer than all that is computed.
        compiler_options={"xla_backend_optimization_level": 0},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_module, "decoder_of", recording_decoder)
        (loss, _), gradients = gradient(params, batch, jax.random.key(13))
        jax.effects_barrier()
    return float(loss), gradients, asked


@pytest.fixture(scope="module")
def theirs(sam, ours):
    """The loss of the reference, whose parameters have gradients afterwards."""
    batch = make_batch()
    _, _, asked = ours
    total = 0.0
    for image, (height, width) in enumerate(SIZES):
        pixels = torch.tensor(batch.images[image, :height, :width]).permute(2, 0, 1)
        embedding = sam.image_encoder(sam.preprocess(pixels.float())[None])
        for mask in np.flatnonzero(batch.valid[image]):
            target = torch.tensor(batch.masks[image, mask, :height, :width]).float()
            prompts = [(p[image, mask], labels[image, mask]) for p, labels in asked]
            total = total + loss_of_rounds(sam, embedding, prompts, target)
    loss = total / batch.valid.sum()
    loss.backward()
    return loss.item()


def loss_of_rounds(sam, embedding, prompts, target):
    """The sum over rounds; each feeds back the mask that its scores rank first."""
    height, width = target.shape
    total, fed_back = 0.0, None
    for points, labels in prompts:
        sparse, dense = sam.prompt_encoder(
            **reference_prompt(points, labels), masks=fed_back
        )
        logits, scores = sam.mask_decoder.predict_masks(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        answering = slice(1, None) if fed_back is None else slice(0, 1)
        logits, scores = logits[0, answering], scores[0, answering]
        full = torch.nn.functional.interpolate(
            logits[None], (256, 256), mode="bilinear", align_corners=False
        )[0, :, :height, :width]
        mask_losses = 20 * focal(full, target) + dice(full, target)
        best = mask_losses.argmin()
        error = (scores[best] - iou(full[best] > 0, target > 0)) ** 2
        total = total + mask_losses[best] + error
        fed_back = logits[scores.argmax()].detach()[None, None]
    return total


def reference_prompt(points, labels):
    """The prompt of a round in the reference's own form."""
    arguments = {"points": None, "boxes": None}
    if labels[0] == BOX_TOP_LEFT:
        arguments["boxes"] = torch.tensor(points[None, :2].reshape(1, 4))
    is_point = (labels == FOREGROUND) | (labels == BACKGROUND)
    if is_point.any():
        arguments["points"] = (
            torch.tensor(points[is_point][None]),
            torch.tensor(labels[is_point][None]),
        )
    return arguments


def focal(logits, target):
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, target.expand_as(logits), reduction="none"
    )
    probability = logits.sigmoid()
    of_true = torch.where(target > 0, probability, 1 - probability)
    weight = torch.where(target > 0, 0.25, 0.75)
    return (weight * (1 - of_true) ** 2 * cross_entropy).mean((-2, -1))


def dice(logits, target):
    probability = logits.sigmoid()
    both = (probability * target).sum((-2, -1))
    either = probability.sum((-2, -1)) + target.sum()
    return 1 - (2 * both + 1) / (either + 1)


def iou(mask, target):
    return (mask & target).sum() / (mask | target).sum().clamp(min=1)


def test_the_prompts_have_everything_that_has_a_parameter(ours):
    _, _, asked = ours
    valid = make_batch().valid
    assert [points.shape[2] for points, _ in asked] == [2, 3, 3, 3]
    labels = {int(label) for _, each in asked for label in each[valid].ravel()}
    assert labels == {ABSENT, -1, 0, 1, 2, 3}


def test_the_loss_is_that_of_the_reference(ours, theirs):
    assert ours[0] == pytest.approx(theirs, rel=1e-5)


def test_every_gradient_is_that_of_the_reference(sam, ours, theirs):
    del theirs
    gradients = {name: p.grad.numpy() for name, p in sam.named_parameters()}
    scale = {}
    deviations = {}
    for entry in entries(CONFIG):
        if entry.released not in gradients:
            continue
        got = functools.reduce(lambda tree, key: tree[key], entry.path, ours[1])
        got, expected = entry.to_released(np.asarray(got)), gradients[entry.released]
        size = np.linalg.norm(expected)
        if entry.released.endswith("k_proj.bias"):
            # Softmax cancels what all keys have in common: nothing but rounding.
            size = scale[entry.released.replace("bias", "weight")]
            assert np.linalg.norm(expected) < AGREES * size
        scale[entry.released] = size
        assert size > 0, f"{entry.released} has no gradient to compare"
        deviations[entry.released] = np.linalg.norm(got - expected) / size
    assert len(deviations) == len(gradients)
    worst = sorted(deviations, key=deviations.__getitem__)[-5:]
    assert deviations[worst[-1]] < AGREES, {name: deviations[name] for name in worst}


def test_the_fourier_matrix_gets_no_gradient(ours):
    layer = ours[1]["prompt_encoder"]["pe_layer"]
    assert not layer["positional_encoding_gaussian_matrix"].any()
