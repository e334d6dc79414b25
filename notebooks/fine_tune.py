# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   language_info:
#     name: python
# ---

# %% [markdown]
# # Fine-tuning on twenty images of your own
#
# The images here are of cells under a microscope, drawn by the notebook itself: without
# colour, and as bright inside as outside, unlike the photos that the bundled model was
# trained on. The mask decoder is trained on twenty of them, pictures and scores before and
# after are compared on held-out ones, and the model is exported. The [guide to
# fine-tuning](../docs/finetuning.md) has all formats and options.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic("pip", "install -q 'samjax[train]' matplotlib")

# %% [markdown]
# `small` is bundled with the package. On a GPU or TPU, `"vit_b"`, `"vit_l"` or `"vit_h"` is
# a change of one line.

# %%
import dataclasses
import json
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import samjax
from samjax.checkpoints import convert
from samjax.data.datasets import DatasetConfig, open_examples
from samjax.data.formats import write_label_map
from samjax.evaluation.datasets.examples import read_example
from samjax.evaluation.segmenter import PredictorSegmenter
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.single_point import held_out_suite
from samjax.training.finetune.lora import LoraConfig
from samjax.training.finetune.recipe import few_images_config
from samjax.training.launch import launch, sizes_of
from samjax.visualize import draw_masks, draw_points

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

MODEL = "small"
STEPS = 60

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The data
#
# Any folder with `images/` and `masks/` will do, paired by name. A mask file is a label map:
# 0 is background, every other number an object. COCO files and MedSAM's `.npz` are read as
# well (`DatasetConfig.format`). These cells take the place of your own files.

# %%
HEIGHT, WIDTH = 192, 256


def smooth(random, radius):
    """Draws noise at a scale in pixels."""
    coarse = random.normal(size=(int(HEIGHT / radius) + 2, int(WIDTH / radius) + 2))
    noise = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def draw_cells(random):
    """Draws an image of cells and its label map."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    labels, rim = np.zeros((HEIGHT, WIDTH), np.int32), np.zeros((HEIGHT, WIDTH))
    for label in range(1, 13):
        centre = random.uniform((0, 0), (HEIGHT, WIDTH))
        angle = np.arctan2(y - centre[0], x - centre[1])
        radius = random.uniform(16, 32)
        for wave in (2, 3, 4):
            radius = radius * (1 + 0.12 * np.cos(wave * angle + random.uniform(0, 6)))
        depth = radius - np.hypot(y - centre[0], x - centre[1])
        inside = (depth > 0) & (labels == 0)
        if inside.sum() < max(0.7 * (depth > 0).sum(), 300):
            continue
        labels[inside] = label
        outside = labels == 0
        rim -= np.where(inside | outside, np.exp(-((depth / 1.5) ** 2)), 0)
        rim += np.where(outside, 0.6 * np.exp(-(((depth + 4) / 2.5) ** 2)), 0)
    grain = 12 * smooth(random, 2) + 8 * smooth(random, 5)
    image = 128 + 30 * smooth(random, 90) + grain * np.where(labels > 0, 1.5, 0.7)
    image += 38 * rim + random.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8), labels


dataset = folder / "cells"
(dataset / "images").mkdir(parents=True)
for index in range(26):
    drawn, labels = draw_cells(np.random.default_rng(index))
    Image.fromarray(drawn).save(dataset / "images" / f"cells_{index:02d}.png")
    write_label_map(dataset / "masks" / f"cells_{index:02d}.png", labels)

# %% [markdown]
# A fifth of the images is held out, chosen by the hash of their names; `limit` bounds the
# number of the others. `open_examples` reads either part.

# %%
images = DatasetConfig(
    path=str(dataset), format="folder", validation_fraction=0.2, limit=20
)
held_out = open_examples(images, "validation")
examples = [read_example(held_out[index]) for index in range(len(held_out))]
print(len(open_examples(images, "train")), "to train on,", len(held_out), "held out")

figure, axes = plt.subplots(1, 2, figsize=(8, 3.1))
axes[0].imshow(examples[0][0])
axes[1].imshow(draw_masks(*examples[0]))
for axis in axes:
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Before
#
# One click in the middle of each cell, and the mask with the highest predicted IoU.


# %%
def click_of(mask):
    """Returns the pixel of a mask nearest to its mean."""
    pixels = np.argwhere(mask)[:, ::-1]
    return pixels[np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]


def segment(predictor, image, targets):
    """Returns the image with the masks of a click on every target, and their IoUs."""
    clicks = [click_of(target) for target in targets]
    prompts = [samjax.Prompt(points=[click], labels=[1]) for click in clicks]
    (found,) = predictor.predict_batch([predictor.embed(image)], [prompts])
    masks = np.array([masks.best.masks[0] for masks in found])
    overlap = (masks & targets).sum(axis=(1, 2)) / (masks | targets).sum(axis=(1, 2))
    return draw_points(draw_masks(image, masks), np.array(clicks)), overlap


model, params = samjax.load(MODEL)
before = [segment(samjax.Predictor(model, params), *example) for example in examples]
print("IoU by one click:", np.concatenate([iou for _, iou in before]).mean().round(3))

# %% [markdown]
# ## Training the mask decoder
#
# The image encoder is frozen, and the embeddings of the images are computed once. A step is
# then cheap: every target mask gets a click or a box, and one corrected click after it.

# %%
config = few_images_config(
    sizes_of(MODEL),
    images,
    steps=STEPS,
    batch_size=1,
    correction_points=1,
    remat=False,
    log_every=20,
    checkpoint_every=STEPS,
    evaluate_every=None,
    picture_every=None,
    tensorboard=False,
)

# %% [markdown]
# The evaluator is the suite of `samjax evaluate`, on the held-out images. `launch` prints its
# scores before the first step and at the end, and writes checkpoints, `metrics.jsonl` and
# the weights to its folder. The command does the same: `samjax train
# configs/train/finetune.py --data.path cells --initial vit_b --out run`.

# %%
suite = held_out_suite(held_out)


def evaluators(config, model):
    def score(params):
        return evaluate(
            suite, PredictorSegmenter(samjax.Predictor(model, params))
        ).scores

    return {"held_out": score}


run = launch(config, out=folder / "run", initial=MODEL, evaluators=evaluators)

# %% [markdown]
# `metrics.jsonl` has the loss of every step.

# %%
lines = (folder / "run/metrics.jsonl").read_text().splitlines()
losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
plt.figure(figsize=(5, 2.6))
plt.plot(np.arange(1, len(losses) + 1), losses, alpha=0.4)
plt.plot(np.convolve(losses, np.ones(10) / 10, "valid"), label="mean of ten steps")
plt.xlabel("step")
plt.ylabel("loss")
plt.legend()
plt.show()

# %% [markdown]
# ## After
#
# The same clicks on the same held-out images: before on the left, after on the right.

# %%
tuned = samjax.Predictor(*samjax.load(run.weights))
after = [segment(tuned, *example) for example in examples]

figure, axes = plt.subplots(2, 2, figsize=(8, 6.2))
for row, (old, new) in zip(axes, zip(before, after, strict=True), strict=False):
    for axis, (picture, iou), name in zip(row, (old, new), ("before", "after")):
        axis.imshow(picture)
        axis.set_title(f"{name}: mean IoU {iou.mean():.2f}", fontsize=10)
        axis.axis("off")
figure.tight_layout()
plt.show()

means = [np.concatenate([iou for _, iou in side]).mean() for side in (before, after)]
print(f"IoU by one click: {means[0]:.3f} before, {means[1]:.3f} after")
assert means[1] > means[0]

# %% [markdown]
# ## LoRA
#
# Low-rank adapters change the image encoder itself, for images unlike all that it was
# trained on. They train few parameters, but every step runs the encoder forward and
# backward: on a CPU that is slow, so that there are only four steps here, on top of the
# decoder of the first run. `trained.safetensors` holds the adapters alone; it loads into
# the weights that it was trained on, and into no others.

# %%
adapters = dataclasses.replace(
    config,
    trainable="adapters",
    lora=LoraConfig(rank=8),
    stages=(dataclasses.replace(config.stages[0], steps=4),),
)
lora = launch(adapters, out=folder / "lora", initial=str(run.weights))
for file in (lora.trained, lora.weights):
    print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## Export
#
# `model.safetensors` is a whole model, for `samjax.load` and every command. `convert` writes
# it in the form of the released `.pth` files, which the PyTorch code reads, and back without
# a changed byte.

# %%
exported = convert(run.weights, folder / "cells.pth")
_, trained = samjax.load(run.weights)
_, again = samjax.load(exported)
assert all(jax.tree.leaves(jax.tree.map(np.array_equal, trained, again)))
print(f"{exported.name}: {exported.stat().st_size / 1e6:.0f} MB")

# %% [markdown]
# Next: [evaluation](evaluation.ipynb) of a model on sets of photos, [training on many
# devices](tpu_training.ipynb).
