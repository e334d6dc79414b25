"""SAM and CLIP put together as initial weights."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from models.clip.small_clip import SMALL, random_state, tree_of
from models.siglip.small_siglip import random_params as random_siglip
from models.siglip.small_siglip import with_vocabulary
from models.text_sam.model_test import plain_config
from small_text_sam import random_params

import samjax
from samjax import checkpoints
from samjax.inference.texts import embed_text
from samjax.models.clip import Clip
from samjax.models.clip.crops import embed_phrases
from samjax.models.siglip import Siglip
from samjax.models.text_sam import TextSam
from samjax.text import SiglipTokenizer
from samjax.training.config import Stage, TrainConfig
from samjax.training.launch import InitialWeightsError, initial_params
from samjax.training.text.config import TextTraining
from samjax.training.text.initial import check_sizes, with_text


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of a SAM without text, and of CLIP."""
    folder = tmp_path_factory.mktemp("weights")
    sam = random_params()
    del sam["text_encoder"]
    sam["prompt_encoder"] = dict(sam["prompt_encoder"])
    del sam["prompt_encoder"]["text_projection"]
    checkpoints.save(folder / "sam.safetensors", plain_config(), sam)
    clip = tree_of(SMALL, random_state(SMALL))
    checkpoints.save(folder / "clip.safetensors", SMALL, clip)
    return folder


def run(files, model=None, text=None):
    return TrainConfig(
        model=model or with_text(plain_config(), SMALL),
        text=text or TextTraining(clip=str(files / "clip.safetensors")),
        stages=(Stage(steps=1, image_size=64, batch_size=1, masks_per_image=1),),
    )


def test_a_sam_gets_clip_s_text_tower_and_a_projection(files, tmp_path):
    config = run(files)
    model = config.build_model()
    assert isinstance(model, TextSam)
    params = initial_params(config, model, str(files / "sam.safetensors"))
    assert params is not None
    # Whole: it saves, loads and takes a text.
    path = checkpoints.save(tmp_path / "a.safetensors", config.model, params)
    loaded, read = samjax.load(path)
    tokens = jnp.array([[97, 5, 98] + [0] * 10], jnp.int32)
    vector = loaded.apply({"params": read}, tokens, method="embed_text")
    clip, clip_params = samjax.load(files / "clip.safetensors")
    assert isinstance(clip, Clip)
    expected = np.asarray(
        clip.apply({"params": clip_params}, tokens, method="embed_text")
    )
    expected = expected / np.linalg.norm(expected)
    np.testing.assert_allclose(vector, expected, atol=1e-5)
    # A run with text starts from such weights as well.
    again = initial_params(config, model, str(path))
    assert again is not None and set(again) == set(params)


def test_a_sam_gets_siglip_s_text_tower_with_its_vocabulary(files, tmp_path):
    pytest.importorskip("sentencepiece")
    small = with_vocabulary(tmp_path)
    weights = random_siglip(small)
    siglip = checkpoints.save(tmp_path / "siglip.safetensors", small, weights)
    text = TextTraining(clip=str(siglip))
    config = run(files, with_text(plain_config(), small, tmp_path), text)
    sam = str(files / "sam.safetensors")
    params = initial_params(config, config.build_model(), sam)
    path = checkpoints.save(tmp_path / "a.safetensors", config.model, params)
    # One file is enough to read texts.
    loaded, read = samjax.load(path)
    assert isinstance(loaded, TextSam) and loaded.config == config.model
    vector = embed_text(loaded, read, "the Left mug!")
    tokens = SiglipTokenizer.read(tmp_path, context_length=13)("the Left mug!")
    expected = embed_phrases(weights, tokens, model=Siglip(small))
    np.testing.assert_allclose(vector, expected[0], atol=1e-5)
    with pytest.raises(ValueError, match="of which nothing is left"):
        embed_text(loaded, read, "?!")
    # Without its vocabulary no run is started, and no text read.
    mute = with_text(plain_config(), small)
    with pytest.raises(InitialWeightsError, match="SigLIP's text tower and no vocab"):
        initial_params(run(files, mute, text), TextSam(mute), sam)
    with pytest.raises(ValueError, match="without its vocabulary"):
        embed_text(TextSam(mute), read, "a mug")
    with pytest.raises(InitialWeightsError, match="set text_tower='?siglip"):
        initial_params(run(files, text=text), run(files).build_model(), sam)
    with pytest.raises(ValueError, match="text_vocabulary is for siglip"):
        with_text(plain_config(), SMALL, tmp_path)


def test_weights_that_do_not_go_together_are_refused(files):
    config = run(files)
    sam = str(files / "sam.safetensors")
    with pytest.raises(InitialWeightsError, match="give --initial"):
        initial_params(config, config.build_model(), None)
    wide = dataclasses.replace(config.model, text_width=64)
    other = run(files, wide)
    with pytest.raises(InitialWeightsError, match="set text_width=32"):
        initial_params(other, other.build_model(), sam)
    deep = run(files, dataclasses.replace(config.model, depth=3))
    with pytest.raises(
        InitialWeightsError, match="other sizes than the config's model"
    ):
        initial_params(deep, deep.build_model(), sam)


def test_text_needs_a_model_with_text_and_is_a_part_of_the_run_s_identity(files):
    with pytest.raises(ValueError, match="text is set, and the model is a SamConfig"):
        run(files, plain_config())
    config = run(files)
    assert config.identity()["text"]["variants"] == 4
    assert "sidecar" not in config.identity()["text"]
    assert "text" not in dataclasses.replace(config, text=None).identity()
    check_sizes(config.model, Clip(SMALL))
