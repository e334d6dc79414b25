"""Reading of mask files in all pixel formats of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from samjax.data.bounds import check_pixels
from samjax.data.finetune.mask_pixels import (
    Levels,
    Objects,
    find_labels,
    find_object,
)
from samjax.data.folders import open_regular

_FORMATS = {
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
MASK_SUFFIXES = frozenset(_FORMATS)

_LOSSY = ("JPEG", "MPO", "WEBP")
_GREY = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")

# Colour of the void pixels in VOC's masks, index 255 of its palette.
_VOC_VOID = (224, 224, 192)

# Largest difference of colours that are equal before JPEG compression or resizing.
_NEAR = 12


def read_labels(path: Path) -> Objects:
    """Reads a label map: each grey level, palette index or colour is a label.

    The mask of a single object is read too: with smooth edges, with the noise of JPEG,
    or in the alpha channel. The rules are in `samjax.data.finetune.mask_pixels`.

    Raises:
        ValueError: The file does not exist, is damaged, too large, or not a label map.
    """
    return _read(path, find_labels)


def read_object(path: Path) -> Objects:
    """Reads the mask of a single object: the pixels above half of the brightest level.

    So soft edges are thresholded, and 1 as the foreground value works like 255.

    Raises:
        ValueError: The file does not exist, is damaged, too large, or has several
            objects.
    """
    return _read(path, find_object)


def _read(path: Path, find: Callable[[Levels], Objects]) -> Objects:
    try:
        levels, notes = _levels(path)
        objects = find(levels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return objects._replace(notes=(*notes, *objects.notes))


def _levels(path: Path) -> tuple[Levels, list[str]]:
    notes = []
    try:
        with (
            open_regular(path) as file,
            Image.open(file, formats=sorted(set(_FORMATS.values()))) as image,
        ):
            check_pixels(image.width, image.height, path.name)
            is_lossy = image.format in _LOSSY
            decoded = image.convert("RGBA") if image.mode == "PA" else image
            mode, palette = decoded.mode, _palette(decoded)
            has_alpha = mode in ("LA", "RGBA") or "transparency" in image.info
            pixels = np.array(decoded)
            rgba = np.array(decoded.convert("RGBA")) if has_alpha else None
            if _has_pages(image):
                notes.append("has several pages, of which the first is read")
    except Exception as error:
        # Pillow's decoders raise errors of many types.
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot be read as a mask: {reason}") from error
    if not pixels.size:
        raise ValueError("has no pixels")
    alpha = None if rgba is None else rgba[..., 3]
    # A constant alpha channel carries no shape.
    if alpha is not None and alpha.min() == alpha.max():
        alpha = None
    if palette is not None:
        return _levels_of_palette(pixels, palette, alpha, notes), notes
    if mode in _GREY:
        return _levels_of_grey(_to_integers(pixels), is_lossy), notes
    colours = pixels[..., :3] if mode in ("RGB", "RGBA") else None
    if mode == "LA":
        colours = pixels[..., :1].repeat(3, axis=-1)
    if colours is None:
        raise ValueError(
            f"got the colours of {mode}, expected grey, a palette, or RGB: save it in one "
            "of these"
        )
    if alpha is not None:
        return _levels_of_alpha(colours, alpha, is_lossy), notes
    return _levels_of_colours(colours, is_lossy, notes), notes


def _has_pages(image: Image.Image) -> bool:
    """Whether there is a second page; counting all pages takes quadratic time."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _palette(image: Image.Image) -> UInt8[np.ndarray, "256 3"] | None:
    if image.mode != "P":
        return None
    own = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return np.pad(own, ((0, 256 - len(own)), (0, 0)))


def _to_integers(pixels: np.ndarray) -> Int[np.ndarray, "h w"]:
    """Converts levels to integers; fractions are scaled to 16 bits, the largest to 65535."""
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise ValueError("has levels that are NaN or infinite: replace them")
        if (pixels != np.round(pixels)).any():
            if pixels.min() < 0:
                raise ValueError(
                    f"has fractions in {pixels.min():g}..{pixels.max():g}, expected "
                    "labels, or 0 to 1"
                )
            pixels = np.round(pixels * (65535 / pixels.max()))
        if np.abs(pixels).max() >= 1 << 31:
            raise ValueError(f"has a label of {np.abs(pixels).max():g}")
    return pixels.astype(np.int32)


def _levels_of_grey(pixels: Int[np.ndarray, "h w"], is_lossy: bool) -> Levels:
    return Levels(pixels, np.maximum(pixels, 0), None, is_lossy)


def _levels_of_colours(
    colours: UInt8[np.ndarray, "h w 3"], is_lossy: bool, notes: list[str]
) -> Levels:
    """Makes labels of colours; black is background, and so is VOC's void beside others."""
    brightest = colours.max(axis=-1).astype(np.int32)
    spread = brightest - colours.min(axis=-1)
    if spread.max() <= (_NEAR if is_lossy else 0):
        return _levels_of_grey(brightest, is_lossy)
    if not is_lossy:
        void = (colours == _VOC_VOID).all(axis=-1)
        if void.any() and (brightest[~void] > 0).any():
            colours = np.where(void[..., None], 0, colours)
            brightest = np.where(void, 0, brightest)
            notes.append(
                f"has the colour {_VOC_VOID}, VOC's void, which is taken for not "
                "labelled"
            )
    colours_as_int = colours.astype(np.int32)
    # The label of a colour is its 24-bit code.
    labels = colours_as_int @ np.array([1 << 16, 1 << 8, 1], np.int32)
    return Levels(labels, brightest, colours_as_int, is_lossy)


def _levels_of_alpha(
    colours: UInt8[np.ndarray, "h w 3"], alpha: UInt8[np.ndarray, "h w"], is_lossy: bool
) -> Levels:
    """Reads the alpha channel as the mask if its pixels have one colour, else the colours.

    Transparent pixels are background.
    """
    # The opaque core, 98 % of the largest alpha: edges may have mixed colours.
    core = alpha.astype(np.int32) * 50 >= int(alpha.max()) * 49
    core_colours = colours[core].astype(np.int32)
    if np.ptp(core_colours, axis=0).max() <= _NEAR:
        return _levels_of_grey(alpha.astype(np.int32), is_lossy)
    opaque = 2 * alpha.astype(np.int32) > int(alpha.max())
    return _levels_of_colours(np.where(opaque[..., None], colours, 0), is_lossy, [])


def _levels_of_palette(
    indices: UInt8[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "256 3"],
    alpha: UInt8[np.ndarray, "h w"] | None,
    notes: list[str],
) -> Levels:
    """Makes labels of palette indices; the background is 0, transparent, or black."""
    used = np.unique(indices)
    colours = palette[used].astype(np.int32)
    are_distinct = len(np.unique(colours, axis=0)) == len(used)
    labels = indices.astype(np.int32)
    rgb = palette[indices].astype(np.int32)
    if alpha is not None:
        labels = np.where(2 * alpha.astype(np.int32) > int(alpha.max()), labels + 1, 0)
        rgb = np.where((labels > 0)[..., None], rgb, 0)
    elif are_distinct:
        if (np.ptp(colours, axis=1) == 0).all() and colours.min() == 0:
            return _levels_of_grey(rgb[..., 0], is_lossy=False)
        if palette[0].any() and not colours.any(axis=1).all():
            # Black is not index 0: a program has optimized the palette.
            labels = np.where(rgb.any(axis=-1), labels + 1, 0)
    brightness = rgb.max(axis=-1)
    if not are_distinct or alpha is not None:
        brightness = labels
    void = (indices == 255) & (tuple(palette[255].tolist()) == _VOC_VOID)
    if void.any():
        labels, brightness = np.where(void, 0, labels), np.where(void, 0, brightness)
        notes.append("has VOC's void, which is taken for not labelled")
    return Levels(labels, brightness, rgb, is_lossy=False)
