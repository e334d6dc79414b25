"""Layers that several parts of the model share."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# The released encoder, neck and mask convolutions use 1e-6; the decoder's transformer
# was left at PyTorch's default of 1e-5.
ENCODER_EPSILON = 1e-6
DECODER_EPSILON = 1e-5


def layer_norm(
    epsilon: float, dtype: DTypeLike, name: str | None = None
) -> nn.LayerNorm:
    """Layer normalization over channels, with its statistics in float32.

    In NHWC the release's `LayerNorm2d` is this same layer. The variance is computed in
    two passes: the one-pass form loses digits that the reference keeps.
    """
    return nn.LayerNorm(
        epsilon=epsilon, dtype=dtype, use_fast_variance=False, name=name
    )


def gelu(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The exact (erf) GELU of the release; JAX's default is the tanh form."""
    return jax.nn.gelu(x, approximate=False)


class PatchProjection(nn.Module):
    """A convolution whose stride is its kernel: a dense layer over disjoint patches.

    Computed as a matrix product, which every backend runs at its full rate. The kernel
    keeps the layout of a convolution, (height, width, in, out).

    Attributes:
        features: Channels out.
        size: Side of a patch; 1 is the pointwise convolution.
        use_bias: The release's neck has none.
        dtype: Compute dtype; parameters are float32.
    """

    features: int
    size: int
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*s h w c"]) -> Float[Array, "*s gh gw f"]:
        *leading, height, width, channels = x.shape
        size = self.size
        kernel = self.param(
            "kernel",
            nn.initializers.lecun_normal(),
            (size, size, channels, self.features),
        )
        if size > 1:
            x = x.reshape(*leading, height // size, size, width // size, size, channels)
            x = x.swapaxes(-4, -3)
        x = x.reshape(*leading, height // size, width // size, size**2 * channels)
        kernel = kernel.reshape(-1, self.features).astype(self.dtype)
        y = x.astype(self.dtype) @ kernel
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
            y = y + bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
        return y


class MLP(nn.Module):
    """Two dense layers with an activation between them (`lin1`, `lin2`).

    Attributes:
        hidden_dim: Width between the layers.
        activation: GELU in the image encoder, ReLU in the mask decoder.
        dtype: Compute dtype; parameters are float32.
    """

    hidden_dim: int
    activation: Callable[[Array], Array]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*s c"]) -> Float[Array, "*s c"]:
        hidden = nn.Dense(self.hidden_dim, dtype=self.dtype, name="lin1")(x)
        return nn.Dense(x.shape[-1], dtype=self.dtype, name="lin2")(
            self.activation(hidden)
        )
