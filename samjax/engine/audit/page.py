"""The page of an audit: shares, calibration, and the worst pairs as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from samjax.engine.audit.figures import AuditedPair, Figures
from samjax.report.line_charts import Line, line_chart
from samjax.report.parts import document, facts_list, figure, picture, text
from samjax.visualize import draw_masks

KIND = "report"

_BEFORE, _AFTER = (40, 140, 250), (250, 200, 40)
# Pixels around a mask that are shown, as a part of its longer side, and at least so many.
_MARGIN, _LEAST_MARGIN = 0.5, 24

ReadPixels = Callable[[str], UInt8[np.ndarray, "h w 3"] | None]
"""Returns the pixels of an image by its name; None where there are none."""


def render_audit(figures: Figures, title: str, read: ReadPixels) -> str:
    """Renders an audit as one self-contained page.

    Args:
        figures: The figures.
        title: Title of the page.
        read: Reads an image.
    """
    content = figures.content
    facts = {
        "images": f"{content['images']:,}",
        "masks": f"{content['masks']:,}",
        "mean IoU": _with_interval(content, "iou"),
        "IoU above 0.90": _with_interval(content, "above_0.90"),
        "IoU above 0.75": _with_interval(content, "above_0.75"),
        "removed by people": f"{content['removed']:.1%}",
        "added by people": f"{content['added']:.1%}",
        "in the paper": "94 % above 0.90, 97 % above 0.75",
    }
    body = [
        f"<header><h1>{text(title)}</h1>{facts_list(facts)}</header>",
        _sizes(content["by_size"]),
        _calibration(content["calibration"]),
        _worst(figures.worst, read),
    ]
    return document(title, body, KIND)


def _with_interval(content: Mapping[str, Any], name: str) -> str:
    low, high = content[f"{name}_interval"]
    return f"{content[name]:.3f} ({low:.3f} to {high:.3f})"


def _sizes(by_size: Mapping[str, Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{of["pairs"]:,}</td>'
        + "".join(
            f"<td>{_with_interval(of, cell)}</td>"
            for cell in ("iou", "above_0.90", "above_0.75")
        )
        + "</tr>"
        for name, of in by_size.items()
    )
    return (
        "<section><h2>By size</h2><p>Small, medium and large as in COCO: below 32 and 96 "
        'pixels squared, and above. 95 % intervals over images.</p><div class="wide">'
        '<table class="scores"><thead><tr><th></th><th scope="col">pairs</th>'
        '<th scope="col">IoU</th><th scope="col">above 0.90</th>'
        f'<th scope="col">above 0.75</th></tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )


def _calibration(table: Mapping[str, Any] | None) -> str:
    if table is None:
        return ""
    points = [
        (min(max(of["predicted"], 0.0), 1.0), of["true"])
        for of in table["bins"]
        if of["objects"]
    ]
    chart = line_chart(
        [Line([(0.0, 0.0), (1.0, 1.0)], is_reference=True), Line(points)],
        "predicted IoU, mean of a tenth",
        "IoU with the correction",
    )
    note = f"expected error {table['error']:.3f}"
    drawn = figure("Predicted IoU and IoU with the correction", note, chart)
    return f"<section><h2>Calibration</h2>{drawn}</section>"


def _worst(pairs: Sequence[AuditedPair], read: ReadPixels) -> str:
    cards = []
    for pair in pairs:
        if not pair.before.size:
            continue
        name = f"mask {pair.id} of {pair.image}"
        cards.append(
            f'<li><div class="picture">{picture(draw_pair(pair, read), name, side=720)}'
            f"</div><h3>IoU {pair.iou:.3f}</h3><p>{text(pair.image)}<br>mask "
            f"{text(str(pair.id))}, {pair.area:,} pixels</p></li>"
        )
    return (
        f"<section><h2>The {len(cards)} worst</h2><p>Left the automatic mask, in blue; "
        f'right the corrected one, in yellow.</p><ul class="sheet cases">{"".join(cards)}'
        "</ul></section>"
    )


def draw_pair(pair: AuditedPair, read: ReadPixels) -> UInt8[np.ndarray, "h w 3"]:
    """Draws both masks of a pair side by side, over the part of the image around them.

    Args:
        pair: The pair.
        read: Reads an image; without one the ground is grey.
    """
    pixels = read(pair.image)
    if pixels is None or pixels.shape[:2] != pair.before.shape:
        pixels = np.full((*pair.before.shape, 3), 128, np.uint8)
    rows, columns = np.nonzero(pair.before | pair.after)
    margin = max(np.ptp(rows), np.ptp(columns)) * _MARGIN
    margin = int(max(margin, _LEAST_MARGIN))
    part = tuple(
        slice(max(int(side.min()) - margin, 0), int(side.max()) + margin + 1)
        for side in (rows, columns)
    )
    panels = []
    for mask, color in ((pair.before, _BEFORE), (pair.after, _AFTER)):
        ground = np.ascontiguousarray(pixels[part])
        panels.append(draw_masks(ground, mask[part][None], colors=[color]))
    gap = np.full((panels[0].shape[0], 6, 3), 128, np.uint8)
    return np.concatenate([panels[0], gap, panels[1]], axis=1)
