"""Files of masks, in whatever pixels image formats have."""

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

# The colour of the pixels that VOC's masks leave open, number 255 of its palette.
_VOC_VOID = (224, 224, 192)

# Colours that differ by less are one in a file of JPEG, or after resizing.
_NEAR = 12


def read_labels(path: Path) -> Objects:
    """Reads a label map: grey, a palette's places, or colours, each a label.

    The mask of one object is one label too, with smooth edges, with the noise of JPEG,
    or in the alpha channel; `mask_pixels` has the rules.

    Raises:
        ValueError: The file is not there, damaged, too large, or no such map.
    """
    return _read(path, find_labels)


def read_object(path: Path) -> Objects:
    """Reads the mask of one object: what is above half of the brightest.

    So soft edges fall on one side, and 1 is as good as 255.

    Raises:
        ValueError: The file is not there, damaged, too large, or of several objects.
    """
    return _read(path, find_object)


def _read(path: Path, find: Callable[[Levels], Objects]) -> Objects:
    try:
        levels, notes = _levels(path)
        found = find(levels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found._replace(notes=(*notes, *found.notes))


def _levels(path: Path) -> tuple[Levels, list[str]]:
    notes = []
    try:
        with (
            open_regular(path) as file,
            Image.open(file, formats=sorted(set(_FORMATS.values()))) as image,
        ):
            check_pixels(image.width, image.height, path.name)
            is_lossy = image.format in _LOSSY
            shown = image.convert("RGBA") if image.mode == "PA" else image
            mode, palette = shown.mode, _palette(shown)
            has_alpha = mode in ("LA", "RGBA") or "transparency" in image.info
            pixels = np.array(shown)
            seen = np.array(shown.convert("RGBA")) if has_alpha else None
            if _has_pages(image):
                notes.append("has several pages, of which the first is read")
    except Exception as error:
        # Pillow's readers raise what their formats make them.
        words = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot be read as a mask: {words}") from error
    if not pixels.size:
        raise ValueError("has no pixels")
    alpha = None if seen is None else seen[..., 3]
    if alpha is not None and alpha.min() == alpha.max():
        alpha = None
    if palette is not None:
        return _of_palette(pixels, palette, alpha, notes), notes
    if mode in _GREY:
        return _of_grey(_whole(pixels), is_lossy), notes
    colours = pixels[..., :3] if mode in ("RGB", "RGBA") else None
    if mode == "LA":
        colours = pixels[..., :1].repeat(3, axis=-1)
    if colours is None:
        raise ValueError(
            f"got the colours of {mode}, expected grey, a palette, or RGB: save it anew"
        )
    if alpha is not None:
        return _of_alpha(colours, alpha, is_lossy), notes
    return _of_colours(colours, is_lossy, notes), notes


def _has_pages(image: Image.Image) -> bool:
    """Whether there is a second page; the number of all takes long to find."""
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


def _whole(pixels: np.ndarray) -> Int[np.ndarray, "h w"]:
    """Levels as integers; fractions are spread over 16 bits, as parts of the largest."""
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


def _of_grey(pixels: Int[np.ndarray, "h w"], is_lossy: bool) -> Levels:
    return Levels(pixels, np.maximum(pixels, 0), None, is_lossy)


def _of_colours(
    colours: UInt8[np.ndarray, "h w 3"], is_lossy: bool, notes: list[str]
) -> Levels:
    """Colours as labels; black is nothing, and so is VOC's void beside others."""
    brightest = colours.max(axis=-1).astype(np.int32)
    spread = brightest - colours.min(axis=-1)
    if spread.max() <= (_NEAR if is_lossy else 0):
        return _of_grey(brightest, is_lossy)
    if not is_lossy:
        void = (colours == _VOC_VOID).all(axis=-1)
        if void.any() and (brightest[~void] > 0).any():
            colours = np.where(void[..., None], 0, colours)
            brightest = np.where(void, 0, brightest)
            notes.append(
                f"has the colour {_VOC_VOID}, VOC's void, which is taken for not "
                "labelled"
            )
    wide = colours.astype(np.int32)
    labels = wide @ np.array([1 << 16, 1 << 8, 1], np.int32)
    return Levels(labels, brightest, wide, is_lossy)


def _of_alpha(
    colours: UInt8[np.ndarray, "h w 3"], alpha: UInt8[np.ndarray, "h w"], is_lossy: bool
) -> Levels:
    """The shape is where alpha is, or the colours there; what shows through is nothing."""
    core = alpha.astype(np.int32) * 50 >= int(alpha.max()) * 49
    found = colours[core].astype(np.int32)
    if np.ptp(found, axis=0).max() <= _NEAR:
        return _of_grey(alpha.astype(np.int32), is_lossy)
    seen = 2 * alpha.astype(np.int32) > int(alpha.max())
    return _of_colours(np.where(seen[..., None], colours, 0), is_lossy, [])


def _of_palette(
    places: UInt8[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "256 3"],
    alpha: UInt8[np.ndarray, "h w"] | None,
    notes: list[str],
) -> Levels:
    """Places of a palette as labels: 0 is nothing, or what is transparent, or black."""
    used = np.unique(places)
    colours = palette[used].astype(np.int32)
    are_distinct = len(np.unique(colours, axis=0)) == len(used)
    labels = places.astype(np.int32)
    shown = palette[places].astype(np.int32)
    if alpha is not None:
        labels = np.where(2 * alpha.astype(np.int32) > int(alpha.max()), labels + 1, 0)
        shown = np.where((labels > 0)[..., None], shown, 0)
    elif are_distinct:
        if (np.ptp(colours, axis=1) == 0).all() and colours.min() == 0:
            return _of_grey(shown[..., 0], is_lossy=False)
        if palette[0].any() and not colours.any(axis=1).all():
            # Black is another place than 0, as where a program chose the colours.
            labels = np.where(shown.any(axis=-1), labels + 1, 0)
    brightness = shown.max(axis=-1)
    if not are_distinct or alpha is not None:
        brightness = labels
    void = (places == 255) & (tuple(palette[255].tolist()) == _VOC_VOID)
    if void.any():
        labels, brightness = np.where(void, 0, labels), np.where(void, 0, brightness)
        notes.append("has VOC's void, which is taken for not labelled")
    return Levels(labels, brightness, shown, is_lossy=False)
