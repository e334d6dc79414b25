"""Camera model: from linear light to an 8-bit image.

Focus, vignette, exposure, white balance, tone, sensor noise and JPEG compression. Each
can be weak or absent, so that clean images occur too.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from samjax.data.synthetic.draws import Draws

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BLOCK = 8
_REACH = 4  # largest radius of the lens's point spread in pixels


def photograph(
    light: Float[Array, "3 h w"],
    blur: Float[Array, "h w"],
    draws: Draws,
    key: PRNGKeyArray,
) -> Float[Array, "h w 3"]:
    """Converts linear light to an image, with the camera's degradations.

    Args:
        light: Linear light.
        blur: Defocus of each pixel, 0 to 1.
        draws: Source of the camera's settings.
        key: Key of the sensor noise.
    """
    size = light.shape[-1]
    light = _focus(light, blur, draws)
    light = _spread(light, draws)
    light = light * _vignette(size, draws)[None]
    balance = jnp.exp(draws.between(-0.12, 0.12, 3))
    light = light * balance[:, None, None]
    image = _tone(light, draws)
    image = _sense(image, draws, key)
    step = draws.log_between(0.004, 0.05)
    image = jax.lax.cond(draws.chance(0.5), _compress, lambda x, _: x, image, step)
    grey = jnp.tensordot(jnp.asarray(_LUMA), image, 1)[None]
    image = jnp.where(draws.chance(0.06), grey, image)
    return jnp.moveaxis(jnp.round(jnp.clip(image, 0, 1) * 255), 0, -1)


def develop(light: Float[Array, "3 h w"]) -> Float[Array, "h w 3"]:
    """Converts linear light to an image without degradations."""
    image = jnp.clip(_expose(light, 0.2), 0, 1) ** (1 / 2.2)
    return jnp.moveaxis(jnp.round(image * 255), 0, -1)


def _focus(light, blur, draws):
    """Blurs pixels by their defocus, in a random fraction of the images."""
    width = draws.log_between(0.004, 0.02)

    def defocus(light, blur):
        amount = jnp.clip(2.5 * blur - 1.2, 0, 1)[None]
        amount = _gaussian(amount, jnp.minimum(width, 0.006))
        return light + amount * (_gaussian(light, width) - light)

    return jax.lax.cond(draws.chance(0.4), defocus, lambda light, _: light, light, blur)


def _spread(light, draws):
    """Applies a point spread of about a pixel, which anti-aliases the outlines."""
    width = draws.between(0.35, 0.75)
    width = jnp.where(draws.chance(0.15), 2 * width, width)
    taps = jnp.exp(-0.5 * (jnp.arange(-_REACH, _REACH + 1) / width) ** 2)
    taps = taps / taps.sum()
    size = light.shape[-1]
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (_REACH, _REACH)
        padded = jnp.pad(light, pad, "edge")
        shifted = [
            tap * jax.lax.slice_in_dim(padded, at, at + size, axis=axis)
            for at, tap in enumerate(taps)
        ]
        light = functools.reduce(jnp.add, shifted)
    return light


def _gaussian(planes: Float[Array, "c h w"], width) -> Float[Array, "c h w"]:
    """Gaussian blur with a standard deviation in image sides, as two matrix products."""
    size = planes.shape[-1]
    at = (jnp.arange(size) + 0.5) / size
    distance = (at[:, None] - at[None]) / jnp.maximum(width, 0.25 / size)
    weights = jnp.exp(-0.5 * distance**2)
    weights = weights / weights.sum(1, keepdims=True)
    return weights @ (planes @ weights.T)


def _vignette(size, draws):
    at = (jnp.arange(size) + 0.5) / size - 0.5
    square = at[:, None] ** 2 + at[None] ** 2
    return jnp.exp(-draws.between(0.0, 1.0) * draws.chance(0.5) * square)


def _expose(light, target):
    """Scales to a mean brightness (automatic exposure)."""
    luminance = jnp.tensordot(jnp.asarray(_LUMA), light, 1)
    return light * (target / (luminance.mean() + 1e-3))


def _tone(light, draws):
    light = _expose(light, draws.log_between(0.13, 0.45))
    shoulder = draws.between(0.0, 0.6)
    light = light * (1 + shoulder * light) / (1 + light * (0.3 + shoulder))
    image = jnp.clip(light, 1e-5, 1.2) ** draws.between(0.38, 0.52)
    grey = jnp.tensordot(jnp.asarray(_LUMA), image, 1)[None]
    image = grey + draws.between(0.7, 1.4) * (image - grey)
    contrast = draws.between(0.8, 1.4)
    return jnp.clip(0.45 + contrast * (image - 0.45) + draws.between(-0.05, 0.05), 0, 1)


def _sense(image, draws, key):
    """Adds shot noise, which grows with the light, and read noise."""
    shot = draws.uniform() ** 4 * 0.06
    read = draws.uniform() ** 4 * 0.04
    bits = jax.random.bits(key, image.shape, jnp.uint32)
    # The sum of a word's four bytes is close enough to normal, and needs no logarithm.
    # It has mean 510 and standard deviation 147.8.
    halves = (bits & 0xFF00FF) + ((bits >> 8) & 0xFF00FF)
    total = (halves & 0xFFFF) + (halves >> 16)
    normal = (total.astype(jnp.float32) - 510) / 147.8
    return image + normal * jnp.sqrt(shot**2 * image + read**2)


def _compress(image, step):
    """JPEG's loss: subsampled chroma, quantized DCT coefficients of 8 x 8 blocks."""
    luma = jnp.tensordot(jnp.asarray(_LUMA), image, 1)
    chroma = jnp.stack([image[2] - luma, image[0] - luma])
    size = luma.shape[-1]
    halves = chroma.reshape(2, size // 2, 2, size // 2, 2).mean((2, 4))
    chroma = jnp.repeat(jnp.repeat(halves, 2, 1), 2, 2)
    luma = _quantize(luma[None], step)[0]
    chroma = _quantize(chroma, 1.5 * step)
    blue, red = chroma[0] + luma, chroma[1] + luma
    green = (luma - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    return jnp.stack([red, green, blue])


def _quantize(planes, step):
    count, size = planes.shape[0], planes.shape[-1]
    basis = jnp.asarray(_cosines())
    blocks = planes.reshape(count, size // _BLOCK, _BLOCK, size // _BLOCK, _BLOCK)
    steps = step * (1 + 0.6 * (jnp.arange(8)[:, None] + jnp.arange(8)[None]))
    steps = steps[None, None, :, None, :]
    waves = jnp.einsum("cyixj,ui,vj->cyuxv", blocks, basis, basis)
    waves = jnp.round(waves / steps) * steps
    blocks = jnp.einsum("cyuxv,ui,vj->cyixj", waves, basis, basis)
    return blocks.reshape(planes.shape)


@functools.lru_cache(maxsize=1)
def _cosines() -> Float[np.ndarray, "8 8"]:
    """Returns the matrix of the orthonormal DCT of eight samples."""
    wave, at = np.arange(_BLOCK)[:, None], np.arange(_BLOCK)[None]
    basis = np.cos(math.pi * (2 * at + 1) * wave / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2)
    return basis.astype(np.float32)
