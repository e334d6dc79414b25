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
# # Training on many devices
#
# samjax trains on one device or on many with the same code: a mesh of devices, rules that
# say how each array is sharded over it, and one jitted step. This notebook runs on a CPU
# with eight simulated devices, and unchanged on a Colab TPU runtime with one chip (v5e-1)
# or eight (v5e-8). It draws the shardings, trains a small model with the recipe, breaks a
# run off, and resumes it. [Training](../docs/training.md) and [TPUs](../docs/tpu.md) have
# the details and the figures at full size.

# %% [markdown]
# This cell installs samjax where it is missing, as on Colab.

# %%
import importlib.util

if importlib.util.find_spec("samjax") is None:
    get_ipython().run_line_magic("pip", "install -q 'samjax[train]' matplotlib")

# %% [markdown]
# The number of simulated CPU devices is set before JAX starts. It changes nothing where
# there is a TPU or GPU.

# %%
import jax

jax.config.update("jax_num_cpu_devices", 8)

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from samjax.models import VIT_B, Sam, SamConfig
from samjax.sharding import MeshConfig, batch_sharding, make_mesh, shardings
from samjax.training.config import Stage, TrainConfig
from samjax.training.loop import train
from samjax.training.losses import LossConfig
from samjax.training.optimizer import OptimizerConfig
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.runtime.sources import make_source
from samjax.training.step import init_params

# %config InlineBackend.figure_formats = ["jpeg"]
plt.rcParams["figure.dpi"] = 80

jax.default_backend(), jax.device_count()

# %% [markdown]
# ## The mesh
#
# A mesh has three axes. Images are sharded over `data` and `fsdp`; every large parameter is
# sharded over `fsdp` and gathered where it is used; heads and hidden units may be sharded
# over `tensor`. With eight devices this is 2 x 2 x 2, with one device 1 x 1 x 1.

# %%
inner = 2 if jax.device_count() % 4 == 0 else 1
mesh = make_mesh(MeshConfig(fsdp=inner, tensor=inner))
dict(mesh.shape)

# %% [markdown]
# ## The sharding, drawn
#
# The rules need only paths and shapes, so ViT-B's parameters are not even allocated. Each
# rectangle is a part of an array, with the numbers of the devices that hold it.


# %%
def draw_sharding(axis, shape, sharding, title):
    """Draws which devices hold which part of the first two dimensions of an array."""
    holders = {}
    for device, index in sharding.devices_indices_map(shape).items():
        corner = tuple(part.indices(side) for part, side in zip(index, shape))
        holders.setdefault(corner[:2], []).append(device.id)
    for number, (((top, bottom, _), (left, right, _)), ids) in enumerate(
        holders.items()
    ):
        color = plt.get_cmap("tab10")(number % 10)
        box = Rectangle((left, top), right - left, bottom - top, fc=color, ec="white")
        axis.add_patch(box)
        text = ", ".join(map(str, sorted(ids)))
        axis.text(
            (left + right) / 2, (top + bottom) / 2, text, ha="center", va="center"
        )
    axis.set_xlim(0, shape[1])
    axis.set_ylim(shape[0], 0)
    axis.set_aspect(shape[1] / shape[0])
    axis.set_xticks([0, shape[1]])
    axis.set_yticks([0, shape[0]])
    axis.set_title(title, fontsize=10)


shapes = jax.eval_shape(lambda key: init_params(key, Sam(VIT_B)), jax.random.key(0))
placed = shardings(mesh, shapes)
block, where = (tree["image_encoder"]["blocks_0"] for tree in (shapes, placed))

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
draw_sharding(axes[0], (8, 1024), batch_sharding(mesh), "batch of 8 images")
draw_sharding(
    axes[1],
    block["attn"]["qkv"]["kernel"].shape,
    where["attn"]["qkv"]["kernel"],
    "attn/qkv/kernel of a block",
)
draw_sharding(
    axes[2],
    block["mlp"]["lin1"]["kernel"].shape,
    where["mlp"]["lin1"]["kernel"],
    "mlp/lin1/kernel of a block",
)
figure.tight_layout()
plt.show()

# %% [markdown]
# What a device holds of ViT-B's parameters in float32, against all of them. Adam's two
# moments are sharded in the same way.


# %%
def megabytes(sizes):
    return sum(4 * int(np.prod(shape)) for shape in sizes) / 1e6


leaves = jax.tree.leaves(shapes)
parts = [
    sharding.shard_shape(leaf.shape)
    for leaf, sharding in zip(leaves, jax.tree.leaves(placed), strict=True)
]
whole = megabytes(leaf.shape for leaf in leaves)
print(f"{megabytes(parts):.0f} MB of {whole:.0f} MB on each device")

# %% [markdown]
# ## The recipe at small scale
#
# A small model learns on scenes that samjax draws, so that no dataset is needed. Losses,
# simulated prompts, optimizer and loop are those of the recipe for SA-1B
# (`configs/train/sa1b_vit_b.py`); sizes and numbers are smaller. The 24 steps show how a run
# works; a model needs thousands. A TPU computes in bfloat16, with parameters in float32.

# %%
config = TrainConfig(
    model=SamConfig(
        image_size=64,
        patch_size=8,
        embed_dim=64,
        depth=2,
        num_heads=2,
        global_attention_blocks=(1,),
        window_size=4,
        prompt_embed_dim=64,
        decoder_mlp_dim=128,
    ),
    stages=(
        Stage(
            steps=24,
            image_size=64,
            batch_size=8,
            masks_per_image=4,
            prompts=PromptSimulationConfig(
                correction_points=1, refine_at_random=False, refine_at_end=False
            ),
        ),
    ),
    losses=LossConfig(rounds="mean"),
    optimizer=OptimizerConfig(
        peak_learning_rate=1e-3, warmup_steps=4, schedule="cosine"
    ),
    mesh=MeshConfig(fsdp=inner, tensor=inner),
    dtype="bfloat16" if jax.default_backend() == "tpu" else "float32",
    log_every=8,
    checkpoint_every=8,
    picture_every=None,
    tensorboard=False,
)
folder = Path(tempfile.mkdtemp())
result = train(config, out=folder / "whole")

# %% [markdown]
# `metrics.jsonl` in the folder of the run has a line for every step.


# %%
def losses(out):
    lines = (out / "metrics.jsonl").read_text().splitlines()
    entries = [entry for entry in map(json.loads, lines) if "loss" in entry]
    return [entry["step"] for entry in entries], [entry["loss"] for entry in entries]


steps, whole_run = losses(folder / "whole")
assert steps == list(range(1, 25))
len(whole_run), whole_run[0], whole_run[-1]


# %% [markdown]
# ## Broken off, and resumed
#
# A preempted machine is gone between two steps. Here a source of batches raises an error at
# step 13, which nothing catches: what is left is the checkpoint after step 8, and the log
# of the steps up to the error. (SIGTERM, which a machine sends in time, ends a run with a
# checkpoint of its last step.)


# %%
class PreemptedError(Exception):
    pass


class PreemptedSource:
    """The batches of a source, until the machine is gone."""

    def __init__(self, source):
        self.source = source

    def batch(self, step):
        if step == 13:
            raise PreemptedError
        return self.source.batch(step)


try:
    train(
        config,
        out=folder / "killed",
        make_source=lambda *stage: PreemptedSource(make_source(*stage)),
    )
except PreemptedError:
    print(
        "checkpoints:",
        sorted(p.name for p in (folder / "killed/checkpoints").iterdir()),
    )

# %% [markdown]
# `resume=True` (`samjax train ... --resume`) goes on from the newest checkpoint. The batch and
# the random numbers of a step are functions of the step, so a resumed run has the losses of
# one that was never broken off. It may be resumed on another mesh, too: then the order of
# sums differs, and with it the last digits.

# %%
train(config, out=folder / "killed", resume=True)
_, resumed = losses(folder / "killed")

plt.figure(figsize=(5, 2.8))
plt.plot(steps, whole_run, lw=5, alpha=0.3, label="uninterrupted")
plt.plot(steps, resumed, lw=1.5, label="broken off and resumed")
plt.axvline(8, color="grey", ls=":", label="last checkpoint")
plt.xlabel("step")
plt.ylabel("loss")
plt.legend()
plt.show()
assert resumed == whole_run

# %% [markdown]
# ## At full size
#
# The same loop trains ViT-B on SA-1B, on a slice of eight chips:
#
# ```
# samjax train configs/train/sa1b_vit_b.py --data.path /data/sa1b --mesh.fsdp 4 \
#     --initial mae:mae_pretrain_vit_base.pth --out runs/sa1b_vit_b
# ```
#
# [docs/tpu.md](../docs/tpu.md) has its memory on v5e, v6e and v5p, as the TPU's compiler
# counts it. Next: [fine-tuning](fine_tune.ipynb), [under the hood](under_the_hood.ipynb).
