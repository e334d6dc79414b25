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
# A promptable segmenter returns a mask for whatever a prompt points at. This notebook goes
# through the prompts of [Segment Anything](https://arxiv.org/abs/2304.02643): points, boxes
# and masks, ambiguity, batches of prompts, and image embeddings that are saved and loaded.

# %%
# %pip install -q samjax

# %%
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import samjax
from samjax.visualize import draw_boxes, draw_masks, draw_points

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## Load a model and embed an image
#
# `small` is bundled with the package. For the released models change one line: `"vit_b"`,
# `"vit_l"` or `"vit_h"` are downloaded once and cached.

# %%
model, params = samjax.load("small")
predictor = samjax.Predictor(model, params)

with resources.as_file(resources.files("samjax") / "assets" / "coffee.jpg") as path:
    image = np.asarray(Image.open(path).convert("RGB"))

# %% [markdown]
# The image encoder is the expensive part. It runs once per image; every prompt on that image
# then needs only the prompt encoder and the mask decoder.

# %%
embedding = predictor.embed(image)
embedding.features.shape


# %%
def show(*pictures, titles=None):
    figure, axes = plt.subplots(1, len(pictures), figsize=(4 * len(pictures), 3.2))
    for axis, picture, title in zip(
        np.atleast_1d(axes), pictures, titles or [""] * len(pictures), strict=True
    ):
        axis.imshow(picture)
        axis.set_title(title)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


# %% [markdown]
# ## A click
#
# Points are (x, y) in pixels of the image, with label 1 on the object and 0 off it. A single
# click is ambiguous, so the model returns three masks: whole, part and subpart. Each has a
# predicted IoU, by which they can be ranked.

# %%
click = samjax.Prompt(points=[[300, 150]], labels=[1])
masks = predictor.predict(embedding, click)
show(
    *(
        draw_points(draw_masks(image, mask[None]), click.points, click.labels)
        for mask in masks.masks
    ),
    titles=[f"predicted IoU {score:.2f}" for score in masks.scores],
)

# %% [markdown]
# `masks.best` is the mask with the highest predicted IoU. `multimask=False` returns the
# decoder's single-mask output instead, which is meant for prompts that are not ambiguous.

# %%
assert masks.masks.shape == (3, *image.shape[:2]) and masks.masks.dtype == bool
assert masks.best.scores[0] == masks.scores.max()
len(predictor.predict(embedding, click, multimask=False))

# %% [markdown]
# ## Refining: more clicks, and the previous mask
#
# Further clicks correct a mask. The low-res logits of the previous prediction are a prompt as
# well, as in the paper's interactive training.

# %%
more = samjax.Prompt(
    points=[[300, 150], [150, 330]], labels=[1, 1], mask=masks.best.logits[0]
)
refined = predictor.predict(embedding, more)
less = samjax.Prompt(
    points=[[300, 150], [300, 250]], labels=[1, 0], mask=masks.best.logits[0]
)
without = predictor.predict(embedding, less)
show(
    draw_points(draw_masks(image, refined.masks), more.points, more.labels),
    draw_points(draw_masks(image, without.masks), less.points, less.labels),
    titles=["a second foreground click", "a background click"],
)

# %% [markdown]
# ## A box, alone and with a point
#
# A box is (left, top, right, bottom) in the same pixels.

# %%
box = samjax.Prompt(box=[75, 65, 482, 392])
box_and_point = samjax.Prompt(box=[75, 65, 482, 392], points=[[280, 180]], labels=[0])
show(
    *(
        draw_points(
            draw_boxes(
                draw_masks(image, predictor.predict(embedding, prompt).best.masks),
                prompt.box[None],
            ),
            prompt.points,
            prompt.labels,
        )
        for prompt in (box, box_and_point)
    ),
    titles=["box", "box and background click"],
)

# %% [markdown]
# ## Many prompts, many images
#
# `predict_batch` takes any number of images, prompts per image and points per prompt, and
# returns the results of single calls. Prompts are padded to a few sizes, so that nothing is
# compiled anew for every count.

# %%
mirrored = image[:, ::-1]
embeddings = predictor.embed_batch([image, mirrored])
width = image.shape[1]
prompts = [
    [click, box],  # two objects of the first image
    [samjax.Prompt(points=[[width - 300, 150]], labels=[1])],  # one of the second
]
batch = predictor.predict_batch(embeddings, prompts)
alone = predictor.predict(embeddings[0], box)
assert np.array_equal(batch[0][1].masks, alone.masks)
[[len(masks) for masks in of_image] for of_image in batch]

# %% [markdown]
# ## Embeddings as files
#
# An embedding is a file that names the weights it came from. Loading it with other weights
# raises an error instead of returning wrong masks.

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "coffee.safetensors"
    embedding.save(file)
    again = samjax.ImageEmbedding.load(file)
    print(f"{file.stat().st_size / 1e6:.1f} MB")
same = predictor.predict(again, click)
assert np.array_equal(same.masks, masks.masks)
