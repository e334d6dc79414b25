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
# # Text prompts
#
# "a cup": the fourth kind of prompt of [Segment Anything](https://arxiv.org/abs/2304.02643)
# (section 7.5), which the paper showed and whose weights were never released. `small_text`
# is a small model of samjax's own with texts: the image encoder of `small`, a text tower
# over some 4,000 words, and a mask decoder that was trained with texts on a few hundred
# photos and on drawn scenes. It finds some common things in simple photos and is wrong on
# most others; this notebook shows both, and how to see why.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic("pip", "install -q samjax matplotlib scikit-image")

# %%
import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import samjax
from samjax.data.captioned import draw_scene
from samjax.inference import AutomaticConfig
from samjax.inference.images import SAMPLE_PHOTO, read_image
from samjax.inference.text_masks import generate_text_masks
from samjax.visualize import draw_masks

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

model, params = samjax.load("small_text")
predictor = samjax.Predictor(model, params)


# %%
def show(*pictures, titles):
    figure, axes = plt.subplots(1, len(pictures), figsize=(4 * len(pictures), 3))
    for axis, picture, title in zip(np.atleast_1d(axes), pictures, titles, strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


def answer(image, embedding, *texts, **more):
    """Shows the best-ranked mask of each text."""
    pictures, titles = [], []
    for text in texts:
        masks = predictor.predict(embedding, samjax.Prompt(text=text, **more)).best
        pictures.append(draw_masks(image, masks.masks))
        titles.append(f"{text}: predicted IoU {masks.scores[0]:.2f}")
    show(*pictures, titles=titles)


# %% [markdown]
# ## A text as a prompt
#
# A text is a part of a `Prompt`, as points and boxes are, and an embedding serves all of
# them. A text alone is ambiguous: it has three masks, of which this shows the one that
# the model ranks first. The photo is Chelsea, of scikit-image (CC0).

# %%
cat = data.chelsea()
answer(cat, predictor.embed(cat), "a cat")

# %% [markdown]
# The photo that comes with samjax is beyond it: cups and spoons were in a dozen of its
# photos, and none of them looked like these.

# %%
photo = read_image(SAMPLE_PHOTO)
embedding = predictor.embed(photo)
answer(photo, embedding, "a cup", "a spoon")

# %% [markdown]
# ## With a click
#
# Where a text finds something else, a click on the thing is to repair it (section 7.5 of
# the paper), and where a click could mean a part or the whole, a text says which.

# %%
answer(photo, embedding, "a spoon", "a cup", points=[[375, 310]])

# %% [markdown]
# ## Where a text is true
#
# The model compares every cell of the image embedding with the vector of the text, and
# the map of the similarities reaches the mask decoder as a mask prompt does. Where a mask
# is wrong, the map shows whether the text was found at all:

# %%
texts = ["a cup", "a spoon", "the table"]
vectors = np.stack([predictor.embed_text(text) for text in texts])
maps = model.apply(
    {"params": params}, embedding.features, vectors, method="locate_texts"
)
rows = embedding.frame.resized_size[0] // model.config.patch_size
show(*np.asarray(maps)[:, :rows], titles=texts)

# %% [markdown]
# ## Colours, places and parts
#
# On drawn scenes such as those that it was trained on, it often follows captions that tell
# one thing from others of the same name. This scene has a seed that training never saw.

# %%
scene = draw_scene(10_003, model.config.image_size)
captions = [thing.captions[0].text() for thing in scene.objects][:3]
answer(scene.image, predictor.embed(scene.image), *captions)

# %% [markdown]
# ## All masks of some texts
#
# `generate_text_masks` labels the masks of everything mode, and keeps those that a text is
# true of; `samjax everything FOLDER --text "a cup"` does so for folders.

# %%
config = AutomaticConfig(points_per_side=8).for_model(model.config)
records = generate_text_masks(predictor, cat, ["a cat", "a cup"], config, threshold=0.3)
[(record["text"], round(record["text_score"], 2)) for record in records]

# %% [markdown]
# ## Words
#
# A model with a vocabulary of whole words names the words that it does not know, and
# refuses a text without any that it does.

# %%
try:
    predictor.embed_text("a quokka")
except ValueError as error:
    print(error)
