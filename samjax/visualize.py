"""Overlays of masks, points and boxes on an image: uint8 in, uint8 out, Pillow only.

Coordinates are those of the whole package: pixels of the image, (x, y) for points, XYXY
for boxes, a pixel's centre at +0.5. The input image is not modified; every function
returns a new one. Sizes of marks scale with the image, so that an overlay looks the
same at 300 and at 3000 pixels.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Real, UInt8
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from samjax.geometry.boxes import boxes_from_masks

FOREGROUND_COLOR = (40, 190, 80)
BACKGROUND_COLOR = (230, 60, 50)
BOX_COLOR = (40, 190, 80)


def mask_color(index: int) -> tuple[int, int, int]:
    """Returns the colour of the mask with this index, the same in every picture.

    Successive hues differ by the golden ratio, so that neighbours in a list are easy to
    distinguish; brightness changes every eight masks.
    """
    hue = (0.58 + index * 0.6180339887) % 1.0
    value = (1.0, 0.8, 0.9)[index // 8 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_masks(
    image: UInt8[np.ndarray, "h w 3"],
    masks: Bool[np.ndarray, "k mh mw"],
    *,
    colors: Sequence[tuple[int, int, int]] | None = None,
    alpha: float = 0.45,
    outline: int | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Fills masks with translucent colour and draws their outlines inside their edges.

    Larger masks are drawn first, so that parts stay visible on wholes.

    Args:
        image: The image, RGB.
        masks: True on the objects, of the image's size.
        colors: RGB of every mask; `mask_color` of its index by default.
        alpha: Opacity of the fill; 0 draws outlines only.
        outline: Width of outlines in pixels; 0 draws none, None scales with the image.

    Raises:
        ValueError: The masks are not of the image's size, or there are too few colours.
    """
    _check_image(image)
    if masks.ndim != 3 or masks.shape[1:] != image.shape[:2]:
        raise ValueError(
            f"got masks of shape {masks.shape} for an image of {image.shape[:2]}, "
            "expected (k, h, w) of the image's size: a single mask is mask[None]"
        )
    if colors is not None and len(colors) < len(masks):
        raise ValueError(
            f"got {len(colors)} colors for {len(masks)} masks, expected one for each"
        )
    if outline is None:
        outline = _line_width(image)
    drawn = image.copy()
    boxes = boxes_from_masks(masks)
    areas = np.count_nonzero(masks, axis=(1, 2))
    for index in np.argsort(-areas, kind="stable"):
        if not areas[index]:
            continue
        color = colors[index] if colors is not None else mask_color(int(index))
        # Only within the mask's box: everything mode draws hundreds of small masks.
        left, top, right, bottom = boxes[index]
        region = slice(top, bottom + 1), slice(left, right + 1)
        inside = masks[index][region]
        pixels = drawn[region]
        fill = (1 - alpha) * pixels[inside] + alpha * np.array(color)
        pixels[inside] = np.round(fill)
        if outline:
            pixels[_inner_edge(inside, outline)] = color
    return drawn


def draw_points(
    image: UInt8[np.ndarray, "h w 3"],
    points: Real[np.ndarray, "n 2"],
    labels: Real[np.ndarray, " labels"] | None = None,
    *,
    radius: float | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws clicks as discs with a white edge: foreground green, background red.

    Args:
        image: The image, RGB.
        points: (x, y); discs are clipped to the image.
        labels: 1 foreground, 0 background; all foreground by default.
        radius: Radius of a disc in pixels; None scales with the image.

    Raises:
        ValueError: There are not as many labels as points.
    """
    _check_image(image)
    if labels is None:
        labels = np.ones(len(points), int)
    if len(labels) != len(points):
        raise ValueError(
            f"got {len(labels)} labels for {len(points)} points, expected one for each"
        )
    if radius is None:
        radius = 4.0 * _line_width(image) + 1.0
    drawn = image.copy()
    for (x, y), label in zip(points, labels, strict=True):
        color = FOREGROUND_COLOR if label == 1 else BACKGROUND_COLOR
        _draw_disc(drawn, float(x) + 0.5, float(y) + 0.5, radius, color)
    return drawn


def draw_boxes(
    image: UInt8[np.ndarray, "h w 3"],
    boxes: Real[np.ndarray, "k 4"],
    *,
    colors: Sequence[tuple[int, int, int]] | None = None,
    width: int | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws boxes as frames with a thin dark rim, which is visible on any background.

    Args:
        image: The image, RGB.
        boxes: XYXY; frames are clipped to the image.
        colors: RGB of every box; green by default.
        width: Width of the lines in pixels; None scales with the image.

    Raises:
        ValueError: There are fewer colours than boxes.
    """
    _check_image(image)
    if colors is None:
        colors = [BOX_COLOR] * len(boxes)
    if len(colors) < len(boxes):
        raise ValueError(
            f"got {len(colors)} colors for {len(boxes)} boxes, expected one for each"
        )
    if width is None:
        width = _line_width(image)
    drawn = Image.fromarray(image)
    draw = ImageDraw.Draw(drawn)
    for box, color in zip(boxes, colors, strict=False):
        left, top, right, bottom = (round(float(side)) for side in box)
        around = (left - width, top - width, right + width, bottom + width)
        draw.rectangle(
            (around[0] - 1, around[1] - 1, around[2] + 1, around[3] + 1),
            outline=(20, 20, 20),
            width=width + 2,
        )
        draw.rectangle(around, outline=color, width=width)
    return np.array(drawn)


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    captions: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    cell_size: int = 320,
) -> UInt8[np.ndarray, "h w 3"]:
    """Lays images out in a grid, each scaled to fit its cell, with a caption below.

    Args:
        images: RGB images of any sizes.
        captions: A line for each image, or None; truncated to the width of a cell.
        columns: Cells per row; about the square root of their number by default.
        cell_size: Side in pixels of the square into which an image is fitted.

    Raises:
        ValueError: There are no images, or not as many captions as images.
    """
    if not images:
        raise ValueError("got no images for a contact sheet, expected at least one")
    if captions is not None and len(captions) != len(images):
        raise ValueError(
            f"got {len(captions)} captions for {len(images)} images, expected as many"
        )
    if columns is None:
        columns = int(np.ceil(np.sqrt(len(images))))
    thumbnails = [_thumbnail(image, cell_size) for image in images]
    rows = [
        range(start, min(start + columns, len(images)))
        for start in range(0, len(images), columns)
    ]
    # A row is only as high as its highest image: most photos are landscape.
    heights = [max(thumbnails[index].height for index in row) for row in rows]
    gap, font = max(4, cell_size // 40), _font(max(11, cell_size // 20))
    caption_height = 0 if captions is None else int(1.6 * font.getbbox("Ag")[3])
    width = gap + len(rows[0]) * (cell_size + gap)
    height = gap + sum(heights) + len(rows) * (caption_height + gap)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = gap
    for row, row_height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            left, small = gap + column * (cell_size + gap), thumbnails[index]
            corner = (cell_size - small.width) // 2, (row_height - small.height) // 2
            sheet.paste(small, (left + corner[0], top + corner[1]))
            if captions is not None:
                text = _fit_text(captions[index], font, cell_size)
                centre = (left + cell_size // 2, top + row_height + caption_height // 2)
                draw.text(centre, text, fill=(30, 30, 30), font=font, anchor="mm")
        top += row_height + caption_height + gap
    return np.array(sheet)


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"got an image of {image.dtype}{image.shape}, expected uint8 (h, w, 3): "
            "samjax.inference.read_image makes one of most others"
        )


def _thumbnail(image: np.ndarray, side: int) -> Image.Image:
    """Returns the image with its longest side scaled to `side`."""
    _check_image(image)
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)


def _line_width(image: np.ndarray) -> int:
    return max(1, round(max(image.shape[:2]) / 400))


def _inner_edge(mask: np.ndarray, width: int) -> np.ndarray:
    """Returns the pixels of a mask within `width` of its outside, or of the array's edge."""
    # Pillow's filter replicates border pixels: without padding, no edge at the border.
    padded = Image.fromarray(np.pad(mask, width).astype(np.uint8))
    core = np.asarray(padded.filter(ImageFilter.MinFilter(2 * width + 1)))
    return mask & (core[width:-width, width:-width] == 0)


def _draw_disc(
    image: np.ndarray, x: float, y: float, radius: float, color: tuple[int, int, int]
) -> None:
    """Draws a disc in place, its edge anti-aliased by the coverage of each pixel."""
    height, width = image.shape[:2]
    reach = radius + 1
    rows = slice(max(0, int(y - reach)), max(0, min(height, int(y + reach) + 1)))
    columns = slice(max(0, int(x - reach)), max(0, min(width, int(x + reach) + 1)))
    down = np.arange(height)[rows, None] + 0.5 - y
    across = np.arange(width)[None, columns] + 0.5 - x
    distance = np.hypot(down, across)[..., None]
    patch = image[rows, columns].astype(np.float64)
    for extent, fill in ((radius, (255, 255, 255)), (0.72 * radius, color)):
        covered = np.clip(extent - distance + 0.5, 0, 1)
        patch += covered * (np.array(fill) - patch)
    image[rows, columns] = np.round(patch)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _fit_text(
    text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int
) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
