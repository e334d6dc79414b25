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
# `SamAutomaticMaskGenerator`, NumPy in and out. The cells below are those of the released
# notebooks with the import line changed.

# %%
# %pip install -q samjax

# %%
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

# from segment_anything import (
from samjax.compat import (
    SamAutomaticMaskGenerator,
    SamPredictor,
    sam_model_registry,
)

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# The registry takes the released checkpoints: `sam_model_registry["vit_b"]("sam_vit_b_01ec64.pth")`.
# It needs no PyTorch and executes no code from the file. Here the bundled model takes their
# place.

# %%
sam = sam_model_registry["small"]()
with resources.as_file(resources.files("samjax") / "assets" / "coffee.jpg") as path:
    image = np.asarray(Image.open(path).convert("RGB"))

# %% [markdown]
# ## `SamPredictor`

# %%
predictor = SamPredictor(sam)
predictor.set_image(image)

# %%
input_point = np.array([[300, 150]])
input_label = np.array([1])
masks, scores, logits = predictor.predict(
    point_coords=input_point,
    point_labels=input_label,
    multimask_output=True,
)
assert masks.shape == (3, *image.shape[:2]) and logits.shape[0] == 3
masks.shape, scores.round(2), logits.shape


# %%
def show_mask(mask, ax):
    colour = np.array([30 / 255, 144 / 255, 255 / 255, 0.6])
    ax.imshow(mask[..., None] * colour.reshape(1, 1, -1))


figure, axes = plt.subplots(1, 3, figsize=(12, 3.2))
for axis, mask, score in zip(axes, masks, scores, strict=True):
    axis.imshow(image)
    show_mask(mask, axis)
    axis.plot(*input_point[0], "*", color="lime", markersize=12)
    axis.set_title(f"predicted IoU {score:.2f}")
    axis.axis("off")
figure.tight_layout()
plt.show()

# %% [markdown]
# Refining with the previous logits, and a box, are the same calls as well.

# %%
mask_input = logits[np.argmax(scores)]
refined, _, _ = predictor.predict(
    point_coords=np.array([[300, 150], [150, 330]]),
    point_labels=np.array([1, 1]),
    mask_input=mask_input[None],
    multimask_output=False,
)
boxed, _, _ = predictor.predict(
    box=np.array([75, 65, 482, 392])[None], multimask_output=False
)
refined.shape, boxed.shape

# %% [markdown]
# ## `SamAutomaticMaskGenerator`
#
# The thresholds are the release's, which suit the released models. The bundled model needs
# lower ones.

# %%
generator = SamAutomaticMaskGenerator(
    sam, points_per_side=12, pred_iou_thresh=0.4, stability_score_thresh=0.5
)
records = generator.generate(image)
assert records
sorted(records[0])

# %% [markdown]
# ## The same model through samjax's own API
#
# `samjax.Predictor` has no state: `embed` returns the embedding that `set_image` keeps hidden,
# and `predict` takes it. Both give the same masks.

# %%
import samjax

model, params = samjax.load("small")
own = samjax.Predictor(model, params)
embedding = own.embed(image)
result = own.predict(embedding, samjax.Prompt(points=[[300, 150]], labels=[1]))
assert np.array_equal(result.masks, masks)
np.abs(result.scores - scores).max()

# %% [markdown]
# | `segment_anything` | samjax |
# |---|---|
# | `sam_model_registry["vit_b"](file)` | `samjax.load("vit_b")`, `samjax.load(file)` |
# | `predictor.set_image(image)` | `embedding = predictor.embed(image)` |
# | `predictor.predict(point_coords, point_labels, box, mask_input)` | `predictor.predict(embedding, Prompt(points, labels, box, mask))` |
# | `multimask_output=True` | `multimask=True`; by default three masks for an ambiguous prompt, otherwise one |
# | `predictor.predict_torch(...)` for many boxes | `predictor.predict_batch([embedding], [prompts])` |
# | `SamAutomaticMaskGenerator(sam).generate(image)` | `samjax.generate_masks(predictor, image)` |
