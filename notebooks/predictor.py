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
# # Points, boxes and masks
#
# A promptable model returns a mask for whatever a prompt points at. This notebook goes
# through the prompts of [Segment Anything](https://arxiv.org/abs/2304.02643): points, boxes
# and masks, ambiguity, batches of prompts, and image embeddings that are saved and loaded.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic("pip", "install -q samjax matplotlib scikit-image")

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import samjax
from samjax.visualize import draw_boxes, draw_masks, draw_points

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## Load a model and embed an image
#
# `small` is bundled with the package. On a GPU or TPU, a released model is a change of one
# line: `"vit_b"`, `"vit_l"` and `"vit_h"` are downloaded once. The photo (NASA, public
# domain) comes with scikit-image; any file, Pillow image or array will do.

# %%
MODEL = "small"

model, params = samjax.load(MODEL)
predictor = samjax.Predictor(model, params)
image = data.astronaut()

# %% [markdown]
# The image encoder is the expensive part. It runs once per image; every prompt on that image
# then needs only the prompt encoder and the mask decoder.

# %%
embedding = predictor.embed(image)
embedding.features.shape

# %% [markdown]
# Pictures are drawn by two functions: one draws masks and a prompt over the image, the other
# shows pictures side by side.


# %%
def draw(masks, prompt):
    picture = draw_masks(image, masks)
    if prompt.box is not None:
        picture = draw_boxes(picture, prompt.box[None])
    return draw_points(picture, prompt.points, prompt.labels)


def show(pictures, titles):
    size = 3.6
    figure, axes = plt.subplots(
        1, len(pictures), figsize=(size * len(pictures), size), squeeze=False
    )
    for axis, picture, title in zip(axes[0], pictures, titles, strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


# %% [markdown]
# ## A click, and its ambiguity
#
# Points are (x, y) in pixels of the image, with label 1 on the object and 0 off it. A click
# on the face may mean the person, the head or the face, so the model returns three masks,
# each with a predicted IoU.

# %%
click = samjax.Prompt(points=[[225, 120]], labels=[1])
masks = predictor.predict(embedding, click)
show(
    [draw(mask[None], click) for mask in masks.masks],
    [f"predicted IoU {score:.2f}" for score in masks.scores],
)

# %% [markdown]
# `masks.best` is the one with the highest predicted IoU. Masks are boolean, of the size of
# the image. `multimask=False` returns the single mask that the decoder has for prompts that
# are not ambiguous.

# %%
assert masks.masks.shape == (3, *image.shape[:2]) and masks.masks.dtype == bool
assert masks.best.scores[0] == masks.scores.max()
single = predictor.predict(embedding, click, multimask=False)
len(masks), len(masks.best), len(single)

# %% [markdown]
# ## Refining: more clicks, and the last mask
#
# Further clicks say what is meant, and the low-res logits of a mask are a prompt too. Both
# start from the second mask above, the head: a foreground click on the suit extends it to
# the person, a background click on the hair leaves the face.

# %%
head = masks.logits[1]
person = samjax.Prompt(points=[[225, 120], [280, 400]], labels=[1, 1], mask=head)
face = samjax.Prompt(points=[[225, 120], [225, 55]], labels=[1, 0], mask=head)
show(
    [
        draw(predictor.predict(embedding, prompt).masks, prompt)
        for prompt in (person, face)
    ],
    ["a second foreground click", "a background click"],
)

# %% [markdown]
# ## Boxes, and many prompts at once
#
# A box is (left, top, right, bottom) in the same pixels. `predict_batch` takes any number of
# images, of prompts on each, and of points in each prompt, and returns exactly what single
# calls return. Prompts are padded to few sizes, so that a new number of points does not
# compile a new program.

# %%
boxes = np.array(
    [[25, 25, 400, 511], [160, 25, 290, 215], [120, 340, 205, 430], [350, 0, 450, 270]]
)
prompts = [samjax.Prompt(box=box) for box in boxes]
(found,) = predictor.predict_batch([embedding], [prompts])
best = np.concatenate([masks.best.masks for masks in found])
show(
    [draw_boxes(image, boxes), draw_boxes(draw_masks(image, best), boxes)],
    ["four boxes", "the best mask of each"],
)

alone = predictor.predict(embedding, prompts[2])
assert np.array_equal(found[2].masks, alone.masks)

# %% [markdown]
# ## Several images
#
# `embed_batch` embeds images of any sizes. Entries of prompts go with the images in order: a
# list for the photo, a single prompt for its upper half.

# %%
embeddings = predictor.embed_batch([image, image[:256]])
of_photo, of_half = predictor.predict_batch(embeddings, [[click, prompts[0]], click])
[masks.masks.shape for masks in of_photo], of_half.masks.shape

# %% [markdown]
# ## Embeddings as files
#
# An embedding is saved as one file that names the weights it came from. With other weights it
# is refused, instead of giving wrong masks.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "astronaut.safetensors"
    embedding.save(file)
    again = samjax.ImageEmbedding.load(file)
    print(f"{file.stat().st_size / 1e6:.1f} MB")

assert np.array_equal(predictor.predict(again, click).masks, masks.masks)

# %% [markdown]
# The command does the same for files: `samjax segment photo.jpg --point 225,120`. Next:
# [everything in an image](everything.ipynb), [code written for
# `segment_anything`](migrate.ipynb), [the model as functions](under_the_hood.ipynb).
