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
# The model is a Flax module whose parameters are a plain nested dictionary, so everything JAX
# offers applies to it: `jit`, `vmap`, `grad`. This notebook runs the three parts of the paper's
# figure by hand, differentiates a mask with respect to a click, and moves a click uphill.

# %%
# %pip install -q samjax

# %%
from importlib import resources

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import samjax
from samjax.geometry.frame import Frame, normalize
from samjax.models import PromptInputs

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

# %%
model, params = samjax.load("small")
variables = {"params": params}
with resources.as_file(resources.files("samjax") / "assets" / "coffee.jpg") as path:
    image = np.asarray(Image.open(path).convert("RGB"))
{part: sum(leaf.size for leaf in jax.tree.leaves(params[part])) for part in params}

# %% [markdown]
# ## From pixels to an image embedding
#
# A `Frame` holds the coordinates: the image is resized so that its long side is the model's
# input size, normalized, and padded at the right and the bottom.

# %%
frame = Frame.fit(image.shape[:2], model.config.image_size)
padded = frame.pad(frame.resize_image(image))
pixels = normalize(padded[None], np.array([frame.resized_size]))


@jax.jit
def encode(variables, pixels):
    return model.apply(variables, pixels, method="encode_image")


embeddings = encode(variables, pixels)
embeddings.shape

# %% [markdown]
# The first three principal components of the embedding as colours:

# %%
rows, columns = (-(-side // model.config.patch_size) for side in frame.resized_size)
vectors = np.asarray(embeddings[0, :rows, :columns]).reshape(rows * columns, -1)
vectors = vectors - vectors.mean(0)
components = vectors @ np.linalg.svd(vectors, full_matrices=False)[2][:3].T
low, high = np.percentile(components, (2, 98), axis=0)
colours = np.clip((components - low) / (high - low), 0, 1).reshape(rows, columns, 3)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
axes[0].imshow(image)
axes[1].imshow(colours)
for axis in axes:
    axis.axis("off")
plt.show()


# %% [markdown]
# ## From a click to mask logits
#
# Prompts are arrays with a batch axis for images and one for prompts. Points are in pixels of
# the model's input; `-1` marks a padding point, which the reference adds when no box is given.

# %%
def click(point):
    """Low-res logits and predicted IoUs of all four masks for one foreground click."""
    padding = jnp.zeros((1, 2))
    prompts = PromptInputs(
        points=jnp.concatenate([point[None], padding])[None, None],
        labels=jnp.array([[[1, -1]]]),
    )
    return model.apply(variables, embeddings, prompts, method="decode")


point = jnp.asarray(frame.points_to_model(np.array([300.0, 150.0])))
prediction = jax.jit(click)(point)
prediction.low_res_logits.shape, prediction.iou_predictions.round(2)

# %% [markdown]
# ## `vmap`: a map of predicted IoU
#
# `vmap` over a grid of clicks gives the predicted IoU of the best mask for a click at every
# position.

# %%
side = 12
height, width = frame.resized_size
ys, xs = jnp.meshgrid(
    (jnp.arange(side) + 0.5) * height / side,
    (jnp.arange(side) + 0.5) * width / side,
    indexing="ij",
)
grid = jnp.stack([xs, ys], -1).reshape(-1, 2)


@jax.jit
def best_score(points):
    return jax.lax.map(
        lambda point: click(point).iou_predictions[0, 0, 1:].max(), points, batch_size=16
    )


scores = best_score(grid).reshape(side, side)
plt.figure(figsize=(5, 3.2))
plt.imshow(image)
plt.imshow(scores, extent=(0, image.shape[1], image.shape[0], 0), alpha=0.6)
plt.colorbar(label="predicted IoU")
plt.axis("off")
plt.show()


# %% [markdown]
# ## `grad`: saliency of a click
#
# The gradient of a mask's mean logit inside the mask with respect to the image embedding shows
# the positions that decide it. With respect to the click it shows where the click should go.

# %%
def support(embeddings, point):
    padding = jnp.zeros((1, 2))
    prompts = PromptInputs(
        points=jnp.concatenate([point[None], padding])[None, None],
        labels=jnp.array([[[1, -1]]]),
    )
    prediction = model.apply(variables, embeddings, prompts, method="decode")
    best = prediction.iou_predictions[0, 0, 1:].argmax() + 1
    logits = prediction.low_res_logits[0, 0, best]
    inside = jax.lax.stop_gradient(logits > 0)
    return (logits * inside).sum() / jnp.maximum(inside.sum(), 1)


to_embedding, to_click = jax.jit(jax.grad(support, argnums=(0, 1)))(embeddings, point)
saliency = jnp.linalg.norm(to_embedding[0, :rows, :columns], axis=-1)
plt.figure(figsize=(5, 3.2))
plt.imshow(image)
plt.imshow(saliency, extent=(0, image.shape[1], image.shape[0], 0), alpha=0.6)
plt.plot(300, 150, "*", color="lime", markersize=12)
plt.axis("off")
plt.show()
np.asarray(to_click)


# %% [markdown]
# ## Gradient ascent on a click
#
# A click is a continuous prompt, so it can be optimised: here for the predicted IoU.

# %%
@jax.jit
def ascend(point):
    def score(point):
        return click(point).iou_predictions[0, 0, 1:].max()

    value, slope = jax.value_and_grad(score)(point)
    return point + 8 * slope / (jnp.linalg.norm(slope) + 1e-9), value


path, values = [point], []
for _ in range(10):
    moved, value = ascend(path[-1])
    path.append(moved)
    values.append(float(value))
print(f"predicted IoU {values[0]:.3f} -> {max(values):.3f}")
assert max(values) >= values[0]
