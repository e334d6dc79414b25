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
# Automatic mask generation prompts the model with a grid of points, keeps confident and
# stable masks, and removes duplicates by non-maximum suppression (SAM, appendix B). This
# notebook goes through its options, presets and formats, and a hierarchy of wholes and parts.

# %%
# %pip install -q "samjax[eval]"

# %%
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import samjax
from samjax.inference import AutomaticConfig
from samjax.visualize import draw_masks

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

# %%
model, params = samjax.load("small")
predictor = samjax.Predictor(model, params)
with resources.as_file(resources.files("samjax") / "assets" / "coffee.jpg") as path:
    image = np.asarray(Image.open(path).convert("RGB"))
