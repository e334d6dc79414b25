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
# # The data engine
#
# SAM's masks were made in a loop: people annotate with the model's help, the model learns
# from what they made, and the next round is faster (section 4 of the paper). Here the loop
# is closed without people, by a simulated annotator on drawn scenes, in a small form. The
# [guide](../docs/engine.md) has the loop for a team.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic("pip", "install -q 'samjax[train,eval]' matplotlib")

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import samjax
from samjax.engine.annotations import AnnotationStore
from samjax.engine.simulation.annotator import AnnotatorConfig
from samjax.engine.simulation.config import SimulationConfig
from samjax.engine.simulation.drawn import scene_name, scene_to_annotate
from samjax.engine.simulation.rounds import simulate
from samjax.geometry.masks import decode_rle
from samjax.visualize import draw_masks

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The loop
#
# The bundled `tiny`, with noise on its mask decoder, assists the annotator, who clicks until
# a mask looks good, and takes the brush otherwise. After the round the decoder is fine-tuned
# on a snapshot of the store, and the new model assists if it is not worse on gold images.
# `samjax engine simulate` runs the same loop with more images and steps.

# %%
config = SimulationConfig(
    rounds=2,
    images=4,
    gold=3,
    steps=40,
    annotator=AnnotatorConfig(seconds_per_image=90.0),
)
model, params = samjax.load("tiny")
result = simulate(model, params, folder / "loop", config)

for entry in result["rounds"]:
    print(
        f"round {entry['round']}, stage {entry['stage']}: "
        f"{entry['seconds_per_mask']:.1f} s and {entry['clicks_per_mask']:.1f} clicks a "
        f"mask, {entry['masks_per_image']:.1f} masks an image"
    )

# %% [markdown]
# Every mask is in the store with its clicks, its time and the model that assisted.

# %%
store = AnnotationStore(folder / "loop" / "annotations.sqlite3")
revision, masks = store.snapshot()
store.close()

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, name in zip(axes, [scene_name(0), scene_name(1), scene_name(4)], strict=True):
    scene = scene_to_annotate(name, config.seed, config.scenes)
    own = [decode_rle(mask["segmentation"]) for mask in masks if mask["image"] == name]
    # On a grey photo the colours are those of the masks alone.
    grey = np.repeat(scene.pixels.mean(axis=2, keepdims=True), 3, axis=2)
    axis.imshow(draw_masks(grey.astype(np.uint8), np.array(own)))
    axis.set_title(f"{len(own)} of {len(scene.targets)} objects", fontsize=10)
    axis.axis("off")
plt.show()

# %% [markdown]
# In the second stage images come with confident masks, which are taken or rejected before
# the rest is annotated: they are in the count of masks, and not in the seconds a mask. With
# four images a round the figures vary much; the guide has those of a longer run. It also
# has the proposer, a head on the image embedding that learns where to prompt, and the
# commands for a team's own images.

# %% [markdown]
# Next: [fine-tuning](fine_tune.ipynb), [evaluation](evaluation.ipynb), and [everything
# mode](everything.ipynb), which makes the masks of the automatic stage.
