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
# # Coming from `segment_anything`
#
# `samjax.compat` has the names, the signatures and the return values of the released
# `segment_anything` package: `sam_model_registry`, `SamPredictor` and
# `SamAutomaticMaskGenerator`, with NumPy arrays in and out. The cells below are those of
# the released notebooks with the import line changed. At the end the same masks come from
# samjax's own functions.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic("pip", "install -q samjax matplotlib scikit-image")

# %% [markdown]
# The import line is the only one that changes.

# %%
import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import samjax

# from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from samjax.compat import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## Load a model
#
# The registry takes the released checkpoints, as
# `sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth")`; no PyTorch is needed,
# and no code from the file is executed. A name in place of a file is a bundled or a
# released model: on a GPU or TPU, `MODEL = "vit_b"` (or `"vit_l"`, `"vit_h"`) downloads the
# released weights once. The photo (NASA, public domain) comes with scikit-image.

# %%
MODEL = "small"

sam = sam_model_registry[MODEL](checkpoint=MODEL)
image = data.astronaut()

# %% [markdown]
# ## `SamPredictor`
#
# `set_image` runs the image encoder once; `predict` returns masks, scores and low-res
# logits for a prompt. This is a foreground click on the face.

# %%
predictor = SamPredictor(sam)
predictor.set_image(image)

input_point = np.array([[225, 120]])
input_label = np.array([1])
masks, scores, logits = predictor.predict(
    point_coords=input_point,
    point_labels=input_label,
    multimask_output=True,
)
masks.shape, scores.round(2), logits.shape

# %% [markdown]
# The functions that draw are those of the released notebooks, unchanged.


# %%
def show_mask(mask, ax):
    color = np.array([30 / 255, 144 / 255, 255 / 255, 0.6])
    h, w = mask.shape[-2:]
    ax.imshow(mask.reshape(h, w, 1) * color.reshape(1, 1, -1))


def show_points(coords, labels, ax, marker_size=375):
    for label, color in ((1, "green"), (0, "red")):
        points = coords[labels == label]
        ax.scatter(
            points[:, 0],
            points[:, 1],
            color=color,
            marker="*",
            s=marker_size,
            edgecolor="white",
            linewidth=1.25,
        )


def show_box(box, ax):
    x0, y0, x1, y1 = box
    ax.add_patch(
        plt.Rectangle((x0, y0), x1 - x0, y1 - y0, edgecolor="green", fill=False, lw=2)
    )


figure, axes = plt.subplots(1, 3, figsize=(11, 3.9))
for axis, mask, score in zip(axes, masks, scores, strict=True):
    axis.imshow(image)
    show_mask(mask, axis)
    show_points(input_point, input_label, axis)
    axis.set_title(f"Score: {score:.3f}")
    axis.axis("off")
plt.show()

# %% [markdown]
# Low-res logits are fed back with further clicks, and a box is XYXY, as before.

# %%
mask_input = logits[np.argmax(scores), :, :]
points, labels = np.array([[225, 120], [280, 400]]), np.array([1, 1])
refined, _, _ = predictor.predict(
    point_coords=points,
    point_labels=labels,
    mask_input=mask_input[None, :, :],
    multimask_output=False,
)
input_box = np.array([120, 340, 205, 430])
boxed, _, _ = predictor.predict(
    point_coords=None, point_labels=None, box=input_box[None, :], multimask_output=False
)

figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.7))
for axis in axes:
    axis.imshow(image)
    axis.axis("off")
show_mask(refined[0], axes[0])
show_points(points, labels, axes[0])
show_mask(boxed[0], axes[1])
show_box(input_box, axes[1])
plt.show()

# %% [markdown]
# ## `SamAutomaticMaskGenerator`
#
# The arguments and their defaults are the release's. Its thresholds suit the released
# models; the bundled one is small, and its predicted IoUs are as low as its true ones, so
# it gets lower ones.

# %%
generator = SamAutomaticMaskGenerator(
    sam, points_per_side=12, pred_iou_thresh=0.4, stability_score_thresh=0.5
)
records = generator.generate(image)
print(len(records), "masks with the fields", ", ".join(records[0]))

# %% [markdown]
# `show_anns` of the released notebook, which draws the largest masks first:

# %%
figure = plt.figure(figsize=(4.4, 4.4))
plt.imshow(image)
overlay = np.zeros((*image.shape[:2], 4))
random = np.random.default_rng(3)
for record in sorted(records, key=lambda record: record["area"], reverse=True):
    overlay[record["segmentation"]] = [*random.random(3), 0.5]
plt.imshow(overlay)
plt.axis("off")
plt.show()

# %% [markdown]
# ## The same model through samjax's own functions
#
# `samjax.Predictor` has no state: `embed` returns the embedding that `set_image` keeps
# inside, and `predict` takes it as an argument. Masks, scores and logits are the same.

# %%
own = samjax.Predictor(*samjax.load(MODEL))
embedding = own.embed(image)
result = own.predict(embedding, samjax.Prompt(points=input_point, labels=input_label))

assert np.array_equal(result.masks, masks)
assert np.array_equal(result.logits, logits)
np.abs(result.scores - scores).max()

# %% [markdown]
# | `segment_anything` | samjax |
# |---|---|
# | `sam_model_registry["vit_b"](checkpoint=file)` | `samjax.load("vit_b")`, `samjax.load(file)` |
# | `predictor.set_image(image)` | `embedding = predictor.embed(image)` |
# | `predictor.predict(point_coords, point_labels, box, mask_input)` | `predictor.predict(embedding, samjax.Prompt(points, labels, box, mask))` |
# | `multimask_output=True` | `multimask=True`; by default three masks for a single click or box, otherwise one |
# | `predictor.predict_torch(...)` for many boxes | `predictor.predict_batch([embedding], [prompts])` |
# | `SamAutomaticMaskGenerator(sam).generate(image)` | `samjax.generate_masks(predictor, image)` |
#
# Next: [points, boxes and masks](predictor.ipynb), [everything in an image](everything.ipynb).
