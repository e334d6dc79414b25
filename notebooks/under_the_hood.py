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
# # Under the hood: the model as pure functions
#
# The model is a Flax module, and its parameters are a nested dictionary of arrays, so
# `jax.jit`, `jax.vmap` and `jax.grad` apply to it. This notebook runs the image encoder and
# the decoder by hand, maps predicted IoU over a grid of clicks, differentiates a mask with
# respect to the image and to the click, and moves a click uphill.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic("pip", "install -q samjax matplotlib scikit-image")

# %% [markdown]
# `small` is bundled with the package; `"vit_b"`, `"vit_l"` and `"vit_h"` are downloaded once.
# The photo (NASA, public domain) comes with scikit-image.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import samjax
from samjax.geometry.frame import Frame, normalize
from samjax.models import FOREGROUND, NOT_A_POINT, PromptInputs
from samjax.visualize import draw_masks, draw_points

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

MODEL = "small"

model, params = samjax.load(MODEL)
image = data.astronaut()
{part: sum(leaf.size for leaf in jax.tree.leaves(params[part])) for part in params}

# %% [markdown]
# ## From pixels to an image embedding
#
# A `Frame` holds the coordinates of an image: it is resized so that its long side is the
# model's input size, padded at the right and below, and normalized. `model.apply` with the
# method `encode_image` is a function of parameters and pixels.

# %%
frame = Frame.fit(image.shape[:2], model.config.image_size)
resized = frame.pad(frame.resize_image(image))
pixels = normalize(resized[None], np.array([frame.resized_size]))


@jax.jit
def encode(params, pixels):
    return model.apply({"params": params}, pixels, method="encode_image")


embeddings = encode(params, pixels)
pixels.shape, embeddings.shape

# %% [markdown]
# The embedding has a vector of 256 numbers for every patch. Its first three principal
# components as red, green and blue show what the encoder tells apart:

# %%
rows, columns = (-(-side // model.config.patch_size) for side in frame.resized_size)
vectors = np.asarray(embeddings[0, :rows, :columns]).reshape(rows * columns, -1)
vectors = vectors - vectors.mean(axis=0)
components = vectors @ np.linalg.svd(vectors, full_matrices=False)[2][:3].T
low, high = np.percentile(components, (2, 98), axis=0)
colours = np.clip((components - low) / (high - low), 0, 1).reshape(rows, columns, 3)


def show(*pictures, titles):
    figure, axes = plt.subplots(1, len(pictures), figsize=(4 * len(pictures), 3.1))
    for axis, picture, title in zip(np.atleast_1d(axes), pictures, titles, strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


show(image, colours, titles=["photo", "principal components"])


# %% [markdown]
# ## From a click to masks
#
# Prompts are arrays with an axis for images and one for the prompts of an image. Points are
# in pixels of the model's input. A second point with the label `NOT_A_POINT` is a token of
# the model that says that there is no box. The decoder returns four masks: the single mask,
# and the three for ambiguous prompts.


# %%
def decode(embeddings, point):
    """Returns the low-res logits (4, h, w) and predicted IoUs (4,) for a click."""
    prompts = PromptInputs(
        points=jnp.stack([point, jnp.zeros(2)])[None, None],
        labels=jnp.array([[[FOREGROUND, NOT_A_POINT]]]),
    )
    prediction = model.apply({"params": params}, embeddings, prompts, method="decode")
    return prediction.low_res_logits[0, 0], prediction.iou_predictions[0, 0]


click = np.array([225.0, 120.0])
point = jnp.asarray(frame.points_to_model(click))
logits, scores = jax.jit(decode)(embeddings, point)
logits.shape, scores.round(2)

# %% [markdown]
# These are the numbers that the predictor returns.

# %%
predictor = samjax.Predictor(model, params)
masks = predictor.predict(
    predictor.embed(image), samjax.Prompt(points=[click], labels=[1])
)
np.testing.assert_allclose(masks.scores, scores[1:], atol=1e-3)
show(
    draw_points(draw_masks(image, masks.best.masks), click[None]),
    titles=[f"predicted IoU {masks.best.scores[0]:.2f}"],
)

# %% [markdown]
# ## `vmap`: a click at every position
#
# `jax.vmap` turns the function of one click into one of many. The predicted IoU of the best
# mask shows where the model knows what a click means; `jax.lax.map` with a `batch_size`
# bounds the memory.

# %%
side = 16
height, width = frame.resized_size
xs, ys = jnp.meshgrid(
    (jnp.arange(side) + 0.5) * width / side, (jnp.arange(side) + 0.5) * height / side
)
grid = jnp.stack([xs, ys], axis=-1).reshape(-1, 2)


@jax.jit
def best_scores(embeddings, points):
    def best_score(point):
        return decode(embeddings, point)[1][1:].max()

    return jax.lax.map(best_score, points, batch_size=16)


score_map = np.asarray(best_scores(embeddings, grid)).reshape(side, side)
extent = (0, image.shape[1], image.shape[0], 0)
plt.figure(figsize=(5, 3.2))
plt.imshow(image)
plt.imshow(score_map, extent=extent, alpha=0.6)
plt.colorbar(label="predicted IoU")
plt.axis("off")
plt.show()


# %% [markdown]
# ## `grad`: saliency of a click
#
# The mean logit inside the mask says how clearly the mask stands out. Its gradient with
# respect to the pixels goes through the decoder and the image encoder, and its norm shows
# the pixels that the mask depends on.


# %%
@jax.jit
def saliency(pixels, point):
    def support(pixels):
        logits, scores = decode(encode(params, pixels), point)
        best = logits[1:][scores[1:].argmax()]
        inside = jax.lax.stop_gradient(best > 0)
        return (best * inside).sum() / jnp.maximum(inside.sum(), 1)

    return jnp.linalg.norm(jax.grad(support)(pixels)[0], axis=-1)


# Sums over squares of 8 x 8 pixels: single pixels are noisy.
gradient = np.asarray(saliency(pixels, point))
blocks = gradient[: height // 8 * 8, : width // 8 * 8]
blocks = blocks.reshape(height // 8, 8, width // 8, 8).sum(axis=(1, 3))
plt.figure(figsize=(5, 3.2))
plt.imshow(image)
plt.imshow(blocks**0.5, extent=extent, alpha=0.65, cmap="magma")
plt.plot(*click, "*", color="lime", markersize=12)
plt.axis("off")
plt.show()

# %% [markdown]
# ## `grad` to a prompt: moving a click uphill
#
# A click is a pair of real numbers, so it can be optimized. Its gradient comes from the
# decoder alone, since the image embedding does not depend on it. Here a click on the suit
# moves to where the predicted IoU of the best mask is higher.


# %%
@jax.jit
def ascend(embeddings, point):
    def score(point):
        return decode(embeddings, point)[1][1:].max()

    value, slope = jax.value_and_grad(score)(point)
    return point + 10 * slope / (jnp.linalg.norm(slope) + 1e-9), value


path = [jnp.asarray(frame.points_to_model(np.array([195.0, 345.0])))]
values = []
for _ in range(16):
    moved, value = ascend(embeddings, path[-1])
    path.append(moved)
    values.append(float(value))

clicks = frame.points_to_original(np.array(path[:-1]))
first, last = clicks[0], clicks[int(np.argmax(values))]
show(
    *(
        draw_points(
            draw_masks(
                image,
                predictor.predict(
                    predictor.embed(image), samjax.Prompt(points=[place], labels=[1])
                ).best.masks,
            ),
            place[None],
        )
        for place in (first, last)
    ),
    titles=[
        f"start: predicted IoU {values[0]:.2f}",
        f"after {int(np.argmax(values))} steps: {max(values):.2f}",
    ],
)

# %%
assert max(values) > values[0]

# %% [markdown]
# `samjax/models` has the modules, one file for every box of figure 4 of the
# [paper](https://arxiv.org/abs/2304.02643). Next: [training on many
# devices](tpu_training.ipynb), [fine-tuning](fine_tune.ipynb).
