"""Embeddings that are kept are those that the step would have computed."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from samjax.data.batch import DatasetReader, RunBatch
from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.data.synthetic.config import SceneConfig
from samjax.geometry.frame import normalize
from samjax.training.config import Stage, TrainConfig
from samjax.training.finetune import cached_embeddings as embedded
from samjax.training.finetune.cached_embeddings import (
    EmbeddedSource,
    can_cache_embeddings,
)
from samjax.training.finetune.lora import LoraConfig
from samjax.training.losses import LossConfig
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.step import StepConfig, batch_loss

SIDE = 32


class Images:
    """Batches of two of four images, each always the same."""

    problems, num_examples = ("a.png: no mask",), 4
    position: ClassVar = {"global_next_index": 7}
    is_closed = False

    def damage(self):
        return ["b.png: cut off"]

    def close(self):
        self.is_closed = True

    def batch(self, step):
        index = np.array([step % 4, (step + 1) % 4])
        images = np.stack([self.image(i) for i in index])
        runs = np.full((2, 2, 4), SIDE * SIDE, np.int32)
        runs[:, 0, :2] = [3 * SIDE, 20 * SIDE]
        return RunBatch(
            images=images,
            sizes=np.array([[SIDE, SIDE], [20, SIDE]], np.int32),
            runs=runs,
            valid=np.array([[True, False]] * 2),
            status=np.zeros(2, np.int32),
            bad_masks=np.zeros(2, np.int32),
            index=index,
        )

    def image(self, index):
        return np.random.default_rng(index).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def test_a_step_on_kept_embeddings_is_the_step_on_images(model, params):
    config = StepConfig(
        losses=LossConfig(rounds="mean"),
        prompts=PromptSimulationConfig(
            correction_points=0,
            refine_at_random=False,
            refine_at_end=False,
            remat=False,
        ),
        trainable="decoder",
    )
    loss = jax.jit(batch_loss, static_argnums=(3, 4))
    plain = Images().batch(0)
    kept = EmbeddedSource(Images(), model, params).batch(0)
    assert plain.embeddings is None and kept.embeddings.shape == (2, 4, 4, 32)
    one, _ = loss(params, plain, jax.random.key(0), model, config)
    other, _ = loss(params, kept, jax.random.key(0), model, config)
    np.testing.assert_allclose(one, other, rtol=1e-4)

    # The images themselves are not looked at any more.
    blank = kept._replace(images=np.zeros_like(kept.images))
    same, _ = loss(params, blank, jax.random.key(0), model, config)
    assert same == other


def test_an_image_is_encoded_once_as_long_as_there_is_room(model, params, monkeypatch):
    encoded = []

    def encode(model, encoder, images, sizes):
        encoded.append(images)
        return jnp.zeros((1, 4, 4, 32))

    monkeypatch.setattr(embedded, "_encode", encode)
    source = EmbeddedSource(Images(), model, params)
    for step in range(8):
        source.batch(step)
    assert len(encoded) == 4

    encoded.clear()
    small = EmbeddedSource(Images(), model, params, most_bytes=2 * 4 * 4 * 4 * 32)
    for step in range(8):
        small.batch(step)
    assert len(encoded) == 9  # each batch brings one that was dropped
    assert small.position == {"global_next_index": 7}


class Mixed(Images):
    """The same indices in two parts of other images."""

    def batch(self, step):
        plain = super().batch(step)
        part = np.array([0, 1], np.int32)
        images = plain.images ^ part[:, None, None, None].astype(np.uint8)
        sizes = np.full((2, 2), SIDE, np.int32)
        return plain._replace(part=part, images=images, sizes=sizes)


def test_images_of_two_parts_of_a_mixture_are_told_apart(model, params):
    source = EmbeddedSource(Mixed(), model, params)
    encode = jax.jit(
        lambda batch: model.apply(
            {"params": params},
            normalize(batch.images, batch.sizes),
            method="encode_image",
        )
    )
    for step in (0, 3, 1):
        batch = source.batch(step)
        np.testing.assert_allclose(batch.embeddings, encode(batch), atol=1e-4)


def test_a_cached_source_reads_the_dataset_of_the_source_within(model, params):
    images = Images()
    cached = EmbeddedSource(images, model, params)
    assert isinstance(cached, DatasetReader)
    for name in ("problems", "num_examples", "position"):
        assert getattr(cached, name) == getattr(images, name)
    assert cached.damage() == images.damage()
    cached.close()
    assert images.is_closed


def test_only_a_run_that_sees_every_image_alike_can_keep_embeddings(mini_config):
    data = DatasetConfig(path="x", format="folder")
    stage = Stage(steps=1, image_size=32, batch_size=1, masks_per_image=1)
    config = TrainConfig(
        model=mini_config, stages=(stage,), data=data, trainable="decoder"
    )
    assert can_cache_embeddings(config)
    in_decoder = LoraConfig(rank=1, encoder=(), decoder=("q",))
    assert can_cache_embeddings(
        dataclasses.replace(config, trainable="adapters", lora=in_decoder)
    )
    whole = MixturePart(data=data)
    some, endless = (MixturePart(scenes=SceneConfig(), num_scenes=n) for n in (9, None))
    assert can_cache_embeddings(
        dataclasses.replace(config, data=MixtureConfig(parts=(whole, some)))
    )
    flipped = MixturePart(data=dataclasses.replace(data, flip=True))
    for changes in (
        {"data": None},
        {"data": MixtureConfig(parts=(whole, endless))},
        {"data": MixtureConfig(parts=(flipped, some))},
        {"data": dataclasses.replace(data, flip=True)},
        {"data": dataclasses.replace(data, jitter=(0.5, 2.0))},
        {"data": dataclasses.replace(data, copy_paste=0.1)},
        {"data": dataclasses.replace(data, greyscale=0.1)},
        {"trainable": "all"},
        {"trainable": "neck_and_decoder"},
        {"lora": LoraConfig(rank=1)},
        {"model": dataclasses.replace(mini_config, drop_path_rate=0.1)},
        {"stages": (dataclasses.replace(stage, crops=True),)},
    ):
        assert not can_cache_embeddings(dataclasses.replace(config, **changes))
