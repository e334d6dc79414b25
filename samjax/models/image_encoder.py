"""The image encoder: a plain ViT with windows and decomposed relative positions.

SAM section 3 and appendix A: a ViT pre-trained as a masked autoencoder and adapted to
high resolution as in ViTDet, with 14 x 14 windows, four equally spaced blocks with
global attention, and a neck of two convolutions down to 256 channels.

Submodules carry the released names, so that parameters of the release map one to one.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from samjax.models.attention import AttentionKind, attend_with_relative_positions
from samjax.models.attention.constraints import split_images
from samjax.models.attention.scanned_blocks import (
    RECOMPUTED,
    blocks_per_stage,
    run_in_stages,
)
from samjax.models.layers import (
    ENCODER_EPSILON,
    MLP,
    PatchProjection,
    gelu,
    layer_norm,
)


class ImageEncoder(nn.Module):
    """Maps normalized pixels to the image embedding.

    Attributes:
        grid_size: Side of the square token grid for which the position tables are
            stored. Other grids, rectangles included, resize the tables on the fly;
            at this very size they are used as they are.
        patch_size: Side of a patch in pixels; the stride of the embedding.
        embed_dim: Channels of a token.
        depth: Number of blocks.
        num_heads: Attention heads of a block.
        global_attention_blocks: Indices of the blocks that attend over the whole grid.
        window_size: Side of the attention windows of the other blocks, in tokens.
        mlp_ratio: Width of the MLP over `embed_dim`.
        out_channels: Channels of the embedding.
        final_norm: LayerNorm (`norm`) after the last block, before the neck.
        drop_path_rate: Rate of the last block; the first has 0, in between linear.
        remat: Recompute each block in the backward pass instead of keeping it.
        scan: Compile one stage of blocks and loop over stages. Results are the same up
            to rounding; drop path draws other random numbers.
        attention: How the attention of global blocks is computed.
        dtype: Compute dtype; parameters are float32.
    """

    grid_size: int
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    global_attention_blocks: tuple[int, ...]
    window_size: int
    mlp_ratio: float
    out_channels: int
    final_norm: bool = False
    drop_path_rate: float = 0.0
    remat: bool = False
    scan: bool = False
    attention: AttentionKind = "auto"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "b h w 3"], deterministic: bool = True
    ) -> Float[Array, "b gh gw c"]:
        """Encodes images.

        Args:
            pixels: Normalized, zero-padded images; sides divisible by `patch_size`.
            deterministic: Turns drop path off. Otherwise the caller supplies the
                random stream `drop_path`.

        Returns:
            The embedding, one vector per patch, in the compute dtype.

        Raises:
            ValueError: If a side is not a multiple of the patch size.
        """
        x = PatchEmbed(self.patch_size, self.embed_dim, self.dtype, name="patch_embed")(
            pixels
        )
        table = self.param(
            "pos_embed",
            nn.initializers.truncated_normal(0.02),
            (1, self.grid_size, self.grid_size, self.embed_dim),
        )
        grid = (x.shape[1], x.shape[2])
        x = split_images(x + resize_position_table(table, grid).astype(self.dtype))

        # Parameters are initialized block by block, also those that a scan will stack.
        if self.scan and not self.is_initializing():
            return self._neck(self._run_stages(x, deterministic))
        block_class = Block
        if self.remat:
            block_class = nn.remat(Block, static_argnums=(2,), policy=RECOMPUTED)
        for i in range(self.depth):
            x = block_class(**self._sizes_of_block(i), name=f"blocks_{i}")(
                x, deterministic
            )
        return self._neck(x)

    def _sizes_of_block(self, i: int) -> dict[str, Any]:
        is_global = i in self.global_attention_blocks
        return {
            "num_heads": self.num_heads,
            "window_size": 0 if is_global else self.window_size,
            "table_size": self.grid_size if is_global else self.window_size,
            "mlp_ratio": self.mlp_ratio,
            "drop_path_rate": self._drop_path_rate(i),
            "attention": self.attention,
            "dtype": self.dtype,
        }

    def _drop_path_rate(self, i: int) -> float:
        return self.drop_path_rate * i / max(self.depth - 1, 1)

    def _run_stages(
        self, x: Float[Array, "b gh gw e"], deterministic: bool
    ) -> Float[Array, "b gh gw e"]:
        length = blocks_per_stage(self.depth, self.global_attention_blocks)
        rates = [self._drop_path_rate(i) for i in range(self.depth)]
        drops = not deterministic and self.drop_path_rate > 0
        params = self.variables["params"]
        return run_in_stages(
            x,
            [params[f"blocks_{i}"] for i in range(self.depth)],
            Block(**self._sizes_of_block(0), parent=None),
            Block(**self._sizes_of_block(length - 1), parent=None),
            drop_path_rates=rates,
            key=self.make_rng("drop_path") if drops else None,
            length=length,
            remat=self.remat,
        )

    def _neck(self, x: Float[Array, "b gh gw e"]) -> Float[Array, "b gh gw c"]:
        if self.final_norm:
            x = layer_norm(ENCODER_EPSILON, self.dtype, "norm")(x)
        x = PatchProjection(
            self.out_channels, 1, use_bias=False, dtype=self.dtype, name="neck_0"
        )(x)
        x = layer_norm(ENCODER_EPSILON, self.dtype, "neck_1")(x)
        x = nn.Conv(
            self.out_channels,
            (3, 3),
            padding="SAME",
            use_bias=False,
            dtype=self.dtype,
            name="neck_2",
        )(x)
        return layer_norm(ENCODER_EPSILON, self.dtype, "neck_3")(x)


class PatchEmbed(nn.Module):
    """Projects each patch of pixels to a token (`proj`)."""

    patch_size: int
    embed_dim: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, pixels: Float[Array, "b h w 3"]) -> Float[Array, "b gh gw e"]:
        size = self.patch_size
        _, height, width, _ = pixels.shape
        if height % size or width % size:
            raise ValueError(
                f"Got images of {height} x {width} pixels, expected sides that are "
                f"multiples of the patch size {size}: pad them with zeros."
            )
        return PatchProjection(self.embed_dim, size, dtype=self.dtype, name="proj")(
            pixels
        )


class Block(nn.Module):
    """A pre-norm transformer block, over windows or over the whole grid.

    Attributes:
        window_size: Side of the windows; 0 attends over the whole grid.
        table_size: Grid side for which the relative tables are stored.
        drop_path_rate: Rate of this block; an array inside a scan over blocks.
    """

    num_heads: int
    window_size: int
    table_size: int
    mlp_ratio: float
    drop_path_rate: float | Float[Array, ""]
    dtype: DTypeLike
    attention: AttentionKind = "auto"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], deterministic: bool
    ) -> Float[Array, "b h w c"]:
        _, height, width, channels = x.shape
        # The norm precedes the padding, so that padded tokens are zeros; they take part
        # in their window as keys, unmasked, as in the release.
        y = layer_norm(ENCODER_EPSILON, self.dtype, "norm1")(x)
        if self.window_size:
            y = partition_windows(y, self.window_size)
        y = Attention(
            self.num_heads, self.table_size, self.dtype, self.attention, name="attn"
        )(y)
        if self.window_size:
            y = merge_windows(y, self.window_size, (height, width))
        x = x + self._drop_path(y, deterministic)

        y = layer_norm(ENCODER_EPSILON, self.dtype, "norm2")(x)
        y = MLP(int(channels * self.mlp_ratio), gelu, self.dtype, name="mlp")(y)
        return split_images(x + self._drop_path(y, deterministic))

    def _drop_path(
        self, branch: Float[Array, "b h w c"], deterministic: bool
    ) -> Float[Array, "b h w c"]:
        """Drops the branch for whole images, and rescales the branches that are kept."""
        rate = self.drop_path_rate
        if deterministic or (isinstance(rate, float) and rate == 0.0):
            return branch
        keep = 1.0 - rate
        kept = jax.random.bernoulli(
            self.make_rng("drop_path"), keep, (branch.shape[0], 1, 1, 1)
        )
        return branch * (kept / keep).astype(branch.dtype)


class Attention(nn.Module):
    """Multi-head self-attention with decomposed relative positions (MViTv2)."""

    num_heads: int
    table_size: int
    dtype: DTypeLike
    attention: AttentionKind = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        batch, height, width, channels = x.shape
        head_dim = channels // self.num_heads
        qkv = nn.Dense(3 * channels, dtype=self.dtype, name="qkv")(x)
        qkv = qkv.reshape(batch, height * width, 3, self.num_heads, head_dim)
        query, key, value = jnp.moveaxis(qkv, (2, 3), (0, 2))

        rows, columns = (
            relative_positions(
                self.param(
                    name,
                    nn.initializers.zeros_init(),
                    (2 * self.table_size - 1, head_dim),
                ),
                size,
            ).astype(self.dtype)
            for name, size in (("rel_pos_h", height), ("rel_pos_w", width))
        )
        y = attend_with_relative_positions(
            query, key, value, rows, columns, self.attention
        )
        y = jnp.moveaxis(y, 1, 2).reshape(batch, height, width, channels)
        return nn.Dense(channels, dtype=self.dtype, name="proj")(y)


def partition_windows(
    x: Float[Array, "b h w c"], size: int
) -> Float[Array, "bw size size c"]:
    """Cuts the grid into windows, padding with zeros at the bottom and right."""
    batch, height, width, channels = x.shape
    rows, columns = -(-height // size), -(-width // size)
    x = jnp.pad(
        x,
        ((0, 0), (0, rows * size - height), (0, columns * size - width), (0, 0)),
    )
    x = x.reshape(batch, rows, size, columns, size, channels)
    return x.swapaxes(2, 3).reshape(-1, size, size, channels)


def merge_windows(
    windows: Float[Array, "bw size size c"], size: int, grid: tuple[int, int]
) -> Float[Array, "b h w c"]:
    """Undoes `partition_windows`: joins the windows and crops to the grid."""
    height, width = grid
    rows, columns = -(-height // size), -(-width // size)
    channels = windows.shape[-1]
    x = windows.reshape(-1, rows, columns, size, size, channels)
    x = x.swapaxes(2, 3).reshape(-1, rows * size, columns * size, channels)
    return x[:, :height, :width]


def relative_positions(
    table: Float[Array, "l d"], size: int
) -> Float[Array, "size size d"]:
    """Returns the embedding of every (query, key) distance along one axis of the grid.

    Entry [q, k] is the table's row `q - k + size - 1`. A table stored for another
    size is first interpolated linearly over its length, without antialiasing.
    """
    length = 2 * size - 1
    if table.shape[0] != length:
        table = jax.image.resize(
            table, (length, table.shape[1]), "linear", antialias=False
        )
    position = jnp.arange(size)
    return table[position[:, None] - position[None, :] + size - 1]


def resize_position_table(
    table: Float[Array, "1 s s c"], grid: tuple[int, int]
) -> Float[Array, "1 h w c"]:
    """Returns the absolute positions for a grid: the table itself at its own size.

    Other grids are an extension of samjax (the release fixes 64 x 64): bicubic, and
    antialiased where the grid is smaller, as is usual for ViT position tables.
    """
    if table.shape[1:3] == tuple(grid):
        return table
    return jax.image.resize(table, (1, *grid, table.shape[-1]), "cubic")
