"""ViT-B, L and H at 1024, every tensor random, against both PyTorch implementations.

The weights are saved in the official file format and read by `samjax.load`, so that
the converter is part of what is tested. The bars are those of the design: maximal
difference over the RMS of the reference, float32 on a CPU.
"""

import gc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import samjax
from samjax import checkpoints
from samjax.models import VIT_B, VIT_H, VIT_L
from samjax.models.prompt_encoder import PromptInputs

pytestmark = [pytest.mark.parity, pytest.mark.slow]

EMBEDDING_BAR = 2e-5
LOGITS_BAR = 1e-4
RESIZED_BAR = 1e-3

SIZES = {"vit_b": VIT_B, "vit_l": VIT_L, "vit_h": VIT_H}

# In pixels of the photo: (point_coords, point_labels, box), and whether a mask goes in.
PROMPTS = {
    "one point": {"point_coords": [[300, 200]], "point_labels": [1]},
    "three points": {
        "point_coords": [[300, 200], [40, 350], [599.5, 1]],
        "point_labels": [1, 0, 1],
    },
    "box": {"box": [120, 60, 480, 390]},
    "box, point and mask": {
        "point_coords": [[300, 200]],
        "point_labels": [0],
        "box": [120, 60, 480, 390],
        "mask": True,
    },
    "mask": {"mask": True},
}


def deviation(ours, theirs) -> float:
    return float(np.abs(ours - theirs).max() / np.sqrt(np.mean(np.square(theirs))))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    path = Path(samjax.__file__).parent / "assets" / "coffee.jpg"
    return np.asarray(Image.open(path).convert("RGB"))


# The larger sizes take four minutes and 7 GB, and prove little more than ViT-B.
OFTEN = [
    "vit_b",
    *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("vit_l", "vit_h")),
]


@pytest.fixture(scope="module", params=OFTEN)
def both(request, photo, tmp_path_factory):
    """One size: the reference's answers, our predictor, and the weights' file."""
    import reference
    import torch

    sam = reference.build_reference(SIZES[request.param], seed=11)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(sam.state_dict(), path)
    their_predictor = reference.import_reference().SamPredictor(sam)
    with torch.no_grad():
        their_predictor.set_image(photo)
    embedding = their_predictor.get_image_embedding().numpy().transpose(0, 2, 3, 1)
    answers = {
        name: [
            their_predictor.predict(
                **reference_arguments(prompt),
                multimask_output=multimask,
                return_logits=True,
            )
            for multimask in (True, False)
        ]
        for name, prompt in PROMPTS.items()
    }
    del sam, their_predictor
    gc.collect()

    predictor = samjax.Predictor(*samjax.load(path))
    yield request.param, embedding, answers, predictor, path
    path.unlink()
    gc.collect()


def mask_prompt() -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal((16, 16))
    return 8 * np.kron(noise, np.ones((16, 16))).astype(np.float32)


def reference_arguments(prompt: dict) -> dict:
    arguments = {
        name: np.asarray(value) for name, value in prompt.items() if name != "mask"
    }
    if "mask" in prompt:
        arguments["mask_input"] = mask_prompt()[None]
    return arguments


def our_prompt(prompt: dict) -> samjax.Prompt:
    return samjax.Prompt(
        points=prompt.get("point_coords"),
        labels=prompt.get("point_labels"),
        box=prompt.get("box"),
        mask=mask_prompt() if "mask" in prompt else None,
    )


def test_parity_with_segment_anything_and_transformers(both, photo, tmp_path):
    name, their_embedding, answers, predictor, path = both
    embedding = predictor.embed(photo)
    assert (
        deviation(np.asarray(embedding.features)[None], their_embedding) < EMBEDDING_BAR
    )
    for case, prompt in PROMPTS.items():
        for multimask, (logits, scores, low_res) in zip(
            (True, False), answers[case], strict=True
        ):
            masks = predictor.predict(
                embedding, our_prompt(prompt), multimask=multimask
            )
            what = f"{name}, {case}, {multimask=}"
            assert deviation(masks.logits, low_res) < LOGITS_BAR, what
            assert deviation(masks.scores, scores) < LOGITS_BAR, what
            ours = masks.full_logits()
            bound = RESIZED_BAR * np.sqrt(np.mean(np.square(logits)))
            assert np.abs(ours - logits).max() < bound, what
            clear = np.abs(logits) > bound
            np.testing.assert_array_equal(
                masks.masks[clear], (logits > 0)[clear], err_msg=what
            )
    compare_with_transformers(name, predictor, path, their_embedding, tmp_path)


def compare_with_transformers(name, predictor, path, their_embedding, folder):
    """The folder form that we write loads there, answers alike, and loads back."""
    import torch
    from transformers import SamModel

    checkpoints.convert(path, folder / "hf", format="huggingface")
    theirs = SamModel.from_pretrained(folder / "hf", attn_implementation="eager").eval()
    with torch.no_grad():
        nchw = torch.from_numpy(their_embedding.transpose(0, 3, 1, 2).copy())
        output = theirs(
            image_embeddings=nchw,
            input_points=torch.tensor([[[[512.0, 300.0], [10.0, 700.0]]]]),
            input_labels=torch.tensor([[[1, 0]]]),
            multimask_output=True,
        )
        if name == "vit_b":
            pixels = np.random.default_rng(6).standard_normal((1, 3, 1024, 1024))
            pixels = pixels.astype(np.float32)
            encoded = theirs.get_image_embeddings(torch.from_numpy(pixels)).numpy()
    prompts = PromptInputs(
        jnp.array([[[[512.0, 300.0], [10.0, 700.0], [0.0, 0.0]]]]),
        jnp.array([[[1, 0, -1]]]),
    )
    ours = jax.jit(
        lambda p, x, q: predictor.model.apply({"params": p}, x, q, method="decode")
    )(predictor.params, jnp.asarray(their_embedding), prompts)
    masks, scores = output.pred_masks.numpy(), output.iou_scores.numpy()
    assert deviation(np.asarray(ours.low_res_logits[:, :, 1:]), masks) < LOGITS_BAR
    assert deviation(np.asarray(ours.iou_predictions[:, :, 1:]), scores) < LOGITS_BAR
    del theirs
    gc.collect()
    if name == "vit_b":
        embedded = jax.jit(
            lambda p, x: predictor.model.apply({"params": p}, x, method="encode_image")
        )(predictor.params, jnp.asarray(pixels.transpose(0, 2, 3, 1)))
        assert (
            deviation(np.asarray(embedded), encoded.transpose(0, 2, 3, 1))
            < EMBEDDING_BAR
        )
    _, params = samjax.load(folder / "hf")
    jax.tree.map(np.testing.assert_array_equal, params, dict(predictor.params))
