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
# # Everything in an image
#
# Automatic mask generation prompts the model with a grid of points, keeps the masks with
# high predicted IoU and stability score, and removes duplicates by non-maximum suppression
# ([Segment Anything](https://arxiv.org/abs/2304.02643), section 4 and appendix B). This
# notebook shows its options, the hierarchy of wholes and parts, file formats, and very
# large images.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic(
        "pip", "install -q 'samjax[eval]' matplotlib scikit-image"
    )

# %% [markdown]
# `small` is bundled with the package. On a GPU or TPU, a released model is a change of one
# line: `"vit_b"`, `"vit_l"` and `"vit_h"` are downloaded once.

# %%
import dataclasses
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import samjax
from samjax.data.formats import read_coco, write_coco, write_label_map
from samjax.data.formats.label_map import record_to_label_map
from samjax.data.large_images import ArrayImage
from samjax.geometry.masks import decode_rle
from samjax.inference import AutomaticConfig
from samjax.inference.automatic.hierarchy import with_hierarchy
from samjax.inference.automatic.tiles import generate_masks_in_tiles
from samjax.visualize import draw_masks

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

MODEL = "small"

model, params = samjax.load(MODEL)
predictor = samjax.Predictor(model, params)

# %% [markdown]
# The photo shows [Greek coins from
# Pompeii](https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.coins)
# (Brooklyn Museum, no known copyright restrictions); it comes with scikit-image.

# %%
image = np.repeat(data.coins()[..., None], 3, axis=-1)
image.shape


# %%
def show(*pictures, titles):
    figure, axes = plt.subplots(1, len(pictures), figsize=(4 * len(pictures), 3.4))
    for axis, picture, title in zip(np.atleast_1d(axes), pictures, titles, strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


def draw(image, records):
    """Draws the masks of records, each in a colour of its own."""
    masks = [decode_rle(record["segmentation"]) for record in records]
    return draw_masks(image, np.array(masks).reshape(-1, *image.shape[:2]))


# %% [markdown]
# ## All masks
#
# `generate_masks` embeds the image once and decodes the points in chunks. Given the
# embedding in place of the image, as here, further calls skip the image encoder.
#
# `AutomaticConfig` has the options of the released `SamAutomaticMaskGenerator`, with its
# defaults. `for_model` sets the two thresholds that suit the model: those of the release
# suit the released models, and hardly a mask of a small model passes them.

# %%
embedding = predictor.embed(image)
config = AutomaticConfig(points_per_side=16).for_model(model.config)
records = samjax.generate_masks(predictor, embedding, config)
show(image, draw(image, records), titles=["photo", f"{len(records)} masks"])
print("thresholds:", config.pred_iou_thresh, config.stability_score_thresh)

# %% [markdown]
# A record has the fields of SA-1B: the mask as run lengths, its box (XYWH), its area, the
# point that prompted it, and the two scores.

# %%
record = max(records, key=lambda record: record["predicted_iou"])
{name: value for name, value in record.items() if name != "segmentation"}

# %% [markdown]
# ## Filters
#
# Higher thresholds keep fewer and better masks; more points find smaller objects. The two
# thresholds and the number of points are the options to change first.

# %%
strict = dataclasses.replace(config, pred_iou_thresh=0.75)
few = dataclasses.replace(config, points_per_side=8)
pictures, titles = [], []
for title, options in (
    ("predicted IoU above 0.75", strict),
    ("8 x 8 points", few),
):
    found = samjax.generate_masks(predictor, embedding, options)
    pictures.append(draw(image, found))
    titles.append(f"{title}: {len(found)} masks")
show(*pictures, titles=titles)

# %% [markdown]
# `samjax.inference.automatic.config.PRESETS` has named settings: `reference` (32 x 32
# points), `paper` (the settings of SA-1B, with crops), `fast` (16 x 16) and `dense` (64 x 64
# and crops, for many small objects). Crops are embedded at the model's full resolution, so
# they need the image: `samjax.generate_masks(predictor, image, PRESETS["paper"])`.
#
# ## Wholes and parts
#
# `with_hierarchy` adds to every mask its `parent`, the smallest mask that contains it, and
# its `depth`: 0 for a whole, 1 for a part, 2 for a subpart.

# %%
tree = with_hierarchy(records)
depths = [record["depth"] for record in tree]
levels = [[record for record in tree if record["depth"] == depth] for depth in range(2)]
show(
    *(draw(image, level) for level in levels),
    titles=[f"depth {depth}: {len(level)} masks" for depth, level in enumerate(levels)],
)

# %% [markdown]
# ## Formats
#
# `samjax.data.formats` writes and reads SA-1B's JSON, COCO, YOLO and label maps. Each takes
# records of images: what the image is, and its masks.

# %%
height, width = image.shape[:2]
info = {"image_id": 1, "width": width, "height": height, "file_name": "coins.png"}
whole = {"image": info, "annotations": records}
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "coins.json"
    write_coco(file, [whole])
    print("COCO:", sorted(json.loads(file.read_text())))
    (again,) = read_coco(file)
    write_label_map(Path(folder) / "coins.png", record_to_label_map(whole))

assert len(again["annotations"]) == len(records)

# %% [markdown]
# ## Very large images
#
# `generate_masks_in_tiles` works on tiles that overlap, and joins the masks that a seam
# cuts. Memory is that of two rows of tiles, whatever the size of the image. Here the photo,
# enlarged to twice its size, is cut into tiles of 448 pixels. Files of gigapixels are opened
# by `samjax.data.large_images.open_large_image` and read window by window.

# %%
large = image.repeat(2, axis=0).repeat(2, axis=1)
options = AutomaticConfig(points_per_side=8).for_model(model.config)
tiled = list(
    generate_masks_in_tiles(predictor, ArrayImage(large), options, tile_size=448)
)
joined = [record for record in tiled if len(record["point_coords"]) > 1]
show(
    draw(large, tiled),
    draw(large, joined),
    titles=[f"{len(tiled)} masks of tiles", f"{len(joined)} joined at seams"],
)

# %%
assert len(records) > 10 and max(depths) >= 1 and joined

# %% [markdown]
# The command does the same for folders, tars and datasets, with reports and in parallel:
# `samjax everything photos/ --preset fast --out masks`. The [guide to everything
# mode](../docs/everything.md) has all its options. Next:
# [fine-tuning](fine_tune.ipynb), [evaluation](evaluation.ipynb).
