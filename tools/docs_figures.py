"""Draws the figures of the pages on concepts, as SVG, and one of a photo, as JPEG.

python tools/docs_figures.py --out docs/images
python tools/docs_figures.py --out docs/images --photo    # ambiguity.jpg too
python tools/docs_figures.py --loop loop/result.json      # engine_loop.svg alone, of a
                                                          # samjax engine simulate
"""

import argparse
import html
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from samjax.geometry.frame import Frame
from samjax.sharding import MeshConfig

INK, GREY, LINE = "#1f2933", "#5b6773", "#9aa5b1"
BLUE, ORANGE, GREEN, VIOLET = "#1f6feb", "#d9730d", "#2f9e44", "#7048e8"
PALE = {BLUE: "#dbe9ff", ORANGE: "#ffe8cf", GREEN: "#d9f2df", VIOLET: "#e8e0ff"}


class Drawing:
    """An SVG picture on a white ground, which is readable in a dark theme too."""

    def __init__(self, width: int, height: int, title: str):
        self.parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                f'font-family="system-ui, sans-serif" font-size="13" role="img">'
            ),
            f"<title>{html.escape(title)}</title>",
            (
                '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
                f'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{GREY}"/>'
                "</marker></defs>"
            ),
            f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
        ]

    def rect(self, x, y, width, height, color=LINE, fill="none", dash=False):
        """Adds a rectangle."""
        dashes = ' stroke-dasharray="4 3"' if dash else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'fill="{fill}" stroke="{color}"{dashes}/>'
        )

    def line(self, x0, y0, x1, y1, color=LINE, arrow=False, width=1.0):
        """Adds a line, or an arrow."""
        tip = ' marker-end="url(#tip)"' if arrow else ""
        self.parts.append(
            f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}" stroke="{color}" '
            f'stroke-width="{width:g}"{tip}/>'
        )

    def dot(self, x, y, color=ORANGE, radius=4.0):
        """Adds a disc."""
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius}" fill="{color}"/>'
        )

    def text(self, x, y, text, color=INK, anchor="start", size=13, bold=False):
        """Adds a line of text."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{color}" text-anchor="{anchor}" '
            f'font-size="{size}"{weight}>{html.escape(text)}</text>'
        )

    def save(self, path: Path):
        """Writes the picture."""
        path.write_text("\n".join([*self.parts, "</svg>"]) + "\n")


class Panel(NamedTuple):
    """A frame of the figure of frames.

    Attributes:
        name: Its name.
        size: (width, height) in its own units.
        image: (width, height) of the part that the image covers.
        per_pixel: Its units for a pixel of the model's input; None for the image.
        note: Text below.
    """

    name: str
    size: tuple[int, int]
    image: tuple[float, float]
    per_pixel: float | None
    note: str


def draw_frames(path: Path):
    """Draws the frames from an image to low-res logits, with a point in each."""
    frame = Frame.fit((1200, 1800), 1024)
    height, width = frame.resized_size
    pixel = np.array([[1250.0, 420.0]])
    panels = (
        Panel("image", (1800, 1200), (1800, 1200), None, "your coordinates"),
        Panel(
            "resized, padded",
            (1024, 1024),
            (width, height),
            1.0,
            f"{width} x {height}, zeros below",
        ),
        Panel("image embedding", (64, 64), (64, 64), 1 / 16, "one cell: 16 pixels"),
        Panel(
            "low-res logits",
            (256, 256),
            (256, height / 4),
            1 / 4,
            "resized back to the image",
        ),
    )
    drawing = Drawing(860, 300, "Frames of coordinates, from the image to the masks")
    left = 20.0
    for panel in panels:
        if panel.per_pixel is None:
            point, shown = pixel[0], 190.0
        else:
            point, shown = frame.points_to_model(pixel)[0] * panel.per_pixel, 150.0
        draw_panel(drawing, panel, left, shown, point)
        if panel is not panels[-1]:
            drawing.line(left + shown + 8, 140, left + shown + 44, 140, GREY, True)
        left += shown + 54
    drawing.save(path)


def draw_panel(drawing: Drawing, panel: Panel, left: float, shown: float, point):
    """Draws one frame, `shown` pixels wide, and a point in it."""
    unit, top = shown / panel.size[0], 66
    drawing.text(left, 32, panel.name, bold=True)
    drawing.text(left, 50, f"{panel.size[0]} x {panel.size[1]}", GREY)
    drawing.rect(left, top, shown, panel.size[1] * unit, LINE, "#eceff2")
    drawing.rect(
        left, top, panel.image[0] * unit, panel.image[1] * unit, BLUE, PALE[BLUE]
    )
    if panel.name == "image embedding":
        for step in range(1, 16):
            at = step * shown / 16
            drawing.line(left + at, top, left + at, top + shown, "#c4d7f5")
            drawing.line(left, top + at, left + shown, top + at, "#c4d7f5")
    drawing.dot(left + point[0] * unit, top + point[1] * unit)
    digits = 0 if panel.per_pixel is None else 1
    said = ", ".join(f"{value:.{digits}f}" for value in point)
    drawing.text(left, 240, f"({said})", ORANGE)
    drawing.text(left, 262, panel.note, GREY, size=12)


def draw_pixels(path: Path):
    """Draws where a coordinate is in the grid of pixels."""
    drawing = Drawing(430, 220, "Pixel (2, 1), and a box from (1, 1) to (4, 3)")
    side, left, top = 36, 40, 40
    for column in range(5):
        drawing.text(
            left + column * side + side / 2, top - 10, str(column), GREY, "middle"
        )
        for row in range(4):
            drawing.rect(left + column * side, top + row * side, side, side)
    for row in range(4):
        drawing.text(
            left - 14, top + row * side + side / 2 + 4, str(row), GREY, "middle"
        )
    drawing.rect(left + 2 * side, top + side, side, side, ORANGE, PALE[ORANGE])
    drawing.dot(left + 2.5 * side, top + 1.5 * side)
    drawing.rect(left + 1.5 * side, top + 1.5 * side, 3 * side, 2 * side, BLUE)
    for row, (text, color) in enumerate(
        (
            ("point [2, 1]", ORANGE),
            ("x first: column 2, row 1", GREY),
            ("box [1, 1, 4, 3]", BLUE),
            ("left, top, right, bottom", GREY),
        )
    ):
        drawing.text(245, 70 + 22 * row + (10 if row > 1 else 0), text, color)
    drawing.save(path)


def draw_mesh(path: Path):
    """Draws a mesh of eight devices, and what each of them holds."""
    data, fsdp, _ = MeshConfig(data=2, fsdp=4).sizes(8)
    drawing = Drawing(760, 330, "Images and parameters on a mesh of 2 x 4 devices")
    drawing.text(20, 30, f"mesh: data {data}, fsdp {fsdp}, tensor 1", bold=True)
    drawing.text(20, 50, "a batch of 16 images, a parameter in four shards", GREY)
    for row in range(data):
        drawing.text(20, 118 + 110 * row, f"data {row}", GREY)
        for column in range(fsdp):
            x, y = 80 + 165 * column, 78 + 110 * row
            device = row * fsdp + column
            drawing.rect(x, y, 150, 92, LINE, "#f7f8fa")
            drawing.text(x + 10, y + 20, f"device {device}", bold=True)
            for image in range(2):
                drawing.rect(x + 10 + 34 * image, y + 32, 28, 20, BLUE, PALE[BLUE])
                number = 2 * device + image
                drawing.text(
                    x + 24 + 34 * image, y + 46, str(number), BLUE, "middle", 11
                )
            drawing.text(x + 84, y + 46, "images", GREY, size=11)
            for shard in range(fsdp):
                is_here = shard == column
                drawing.rect(
                    x + 10 + 17 * shard,
                    y + 62,
                    15,
                    18,
                    ORANGE if is_here else LINE,
                    PALE[ORANGE] if is_here else "none",
                    dash=not is_here,
                )
            drawing.text(x + 84, y + 76, f"shard {column}", GREY, size=11)
    for column in range(fsdp):
        drawing.text(155 + 165 * column, 70, f"fsdp {column}", GREY, "middle", 12)
    drawing.text(
        80,
        315,
        "The shards of a row are gathered where a layer uses them; rows hold the same parameters.",
        GREY,
    )
    drawing.save(path)


def draw_deviations(path: Path):
    """Draws the bounds that the tests hold, beside the rounding of float32 itself."""
    rows = (
        ("float32 itself: the release's embedding against float64", 3.7e-6, GREY),
        ("float32 itself: the release's logits against float64", 4.4e-6, GREY),
        ("bound of the test: image embedding of ViT-B, L, H", 2e-5, BLUE),
        ("bound of the test: low-res logits and predicted IoU", 1e-4, BLUE),
        ("bound of the test: logits at the image's size", 1e-3, BLUE),
    )
    drawing = Drawing(760, 250, "Largest difference, over the RMS of the reference")
    left, right, low, high = 400, 730, -6, -3

    def place(exponent):
        return left + (right - left) * (exponent - low) / (high - low)

    for exponent in range(low, high + 1):
        drawing.line(place(exponent), 44, place(exponent), 214, "#e2e6ea")
        drawing.text(place(exponent), 34, f"1e{exponent}", GREY, "middle", 12)
    for index, (name, value, color) in enumerate(rows):
        y = 58 + 32 * index
        drawing.text(left - 12, y + 14, name, anchor="end")
        length = place(math.log10(value)) - left
        drawing.rect(left, y, length, 20, color, PALE.get(color, "#eceff2"))
        drawing.text(left + length - 6, y + 14, f"{value:.2g}", color, "end", 12)
    drawing.text(
        20,
        238,
        "largest absolute difference over the RMS of the reference, float32 on a CPU",
        GREY,
        size=12,
    )
    drawing.save(path)


def draw_loop(path: Path, result: dict):
    """Draws the seconds a mask of a simulated loop, beside those that SAM reports."""
    drawing = Drawing(760, 330, "Seconds a mask, by round of the data engine")
    left, bottom, top = 70, 250, 50
    paper = result["paper"]["seconds_per_mask"]
    own = [
        (entry["seconds_per_mask"], entry["seconds_per_mask_of_all"])
        for entry in result["rounds"]
    ]
    highest = 10 * math.ceil(max(*paper, *(max(pair) for pair in own)) / 10)
    step = 420 / len(own)

    def height(seconds):
        return bottom - (bottom - top) * seconds / highest

    for seconds in range(0, highest + 1, 10):
        drawing.line(left, height(seconds), 730, height(seconds), "#e2e6ea")
        drawing.text(left - 10, height(seconds) + 4, str(seconds), GREY, "end", 12)
    drawing.text(20, 28, "seconds a mask", GREY, size=12)

    def bar(x, seconds, color):
        drawing.rect(
            x, height(seconds), 42, bottom - height(seconds), color, PALE[color]
        )
        y = height(seconds) - 6
        drawing.text(x + 21, y, f"{seconds:.1f}", color, "middle", 12)

    for number, (entry, (by_hand, of_all)) in enumerate(
        zip(result["rounds"], own, strict=True)
    ):
        middle = left + step * (number + 0.5)
        bar(middle - 46, by_hand, BLUE)
        bar(middle + 4, of_all, VIOLET)
        name = f"round {entry['round']}, stage {entry['stage']}"
        drawing.text(middle, bottom + 20, name, INK, "middle", 12)
    for x, seconds, name in ((545, paper[0], "beginning"), (645, paper[1], "end")):
        bar(x, seconds, ORANGE)
        drawing.text(x + 21, bottom + 20, name, INK, "middle", 12)
    drawing.text(left + 210, bottom + 42, "simulated annotator", GREY, "middle", 12)
    drawing.text(616, bottom + 42, "SAM, stage 1 (section 4)", GREY, "middle", 12)
    for x, color, text in (
        (left, BLUE, "masks made by hand, as SAM counts"),
        (340, VIOLET, "all masks and all seconds, those of proposals too"),
    ):
        drawing.rect(x, 308, 12, 12, color, PALE[color])
        drawing.text(x + 18, 319, text, INK, size=12)
    drawing.save(path)


def draw_ambiguity(path: Path):
    """Draws the three masks of one click on the bundled photo, by `small`."""
    import samjax
    from samjax.visualize import draw_masks, draw_points

    photo = Path(samjax.__file__).parent / "assets" / "coffee.jpg"
    image = np.asarray(Image.open(photo).convert("RGB"))
    predictor = samjax.Predictor(*samjax.load("small"))
    point = [[300, 150]]
    masks = predictor.predict(predictor.embed(image), samjax.Prompt(points=point))
    panels = [
        draw_points(draw_masks(image, mask[None]), np.array(point), np.array([1]))
        for mask in masks.masks
    ]
    print("predicted IoUs:", masks.scores.round(2).tolist())
    sheet = Image.fromarray(np.concatenate(panels, axis=1))
    sheet.thumbnail((1200, 1200))
    sheet.save(path, quality=80)


def cut_page_pictures(images: Path, out: Path):
    """Cuts the picture of a click out of the sheets of `tools/page_pictures.py`.

    It stands for the demo until that is started.
    """
    for theme in ("light", "dark"):
        sheet = Image.open(images / f"serve_desktop_{theme}.jpg").convert("RGB")
        # Two columns and three rows, with gaps of a hundredth of the width.
        width, height = round(sheet.width * 0.495), round(sheet.height * 0.329)
        picture = sheet.crop((sheet.width - width, 0, sheet.width, height))
        picture.save(out / f"demo_{theme}.jpg", quality=85)


def main():
    """Draws the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--photo", action="store_true", help="runs the model too")
    parser.add_argument("--loop", type=Path, help="result.json of a simulated loop")
    arguments = parser.parse_args()
    out: Path = arguments.out
    if arguments.loop is not None:
        draw_loop(out / "engine_loop.svg", json.loads(arguments.loop.read_text()))
        return
    draw_frames(out / "frames.svg")
    draw_pixels(out / "pixels.svg")
    draw_mesh(out / "mesh.svg")
    draw_deviations(out / "deviations.svg")
    cut_page_pictures(out, out.parent / "static")
    if arguments.photo:
        draw_ambiguity(out / "ambiguity.jpg")


if __name__ == "__main__":
    main()
