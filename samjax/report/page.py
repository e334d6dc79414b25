"""Rendering of the report of a run of mask generation: histograms and pictures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import numpy as np

from samjax.report.histograms import Tally, histogram, how_many
from samjax.report.parts import document, facts_list, figure, picture, text
from samjax.report.summary import ImageSummary

MASKS, IMAGES = ("mask", "masks"), ("image", "images")
DEPTHS = (
    ("whole", "wholes"),
    ("part", "parts"),
    ("subpart", "subparts"),
    ("deeper", "deeper"),
)


def render_report(
    title: str,
    facts: Mapping[str, str],
    images: Iterable[ImageSummary],
    skipped: Mapping[str, str],
) -> str:
    """Renders the page.

    Images are consumed one at a time, so that memory holds only one of them and the
    page. `facts` and `skipped` are read after the last image: the iterator of images
    may fill them. The same input gives the same page.

    Args:
        title: Heading of the page.
        facts: Facts about the run, text by label.
        images: A summary of each image. All count in the histograms; those without
            `shown` are only counted in the list.
        skipped: The reason why an image was skipped, by its name.

    Returns:
        HTML, to be written as UTF-8.
    """
    totals, cards = _Totals(), []
    for image in images:
        totals.add(image)
        if image.shown:
            cards.append(_card(image))
        # The loop variable would keep the picture alive while the next one is made.
        del image
    body = [
        f"<header><h1>{text(title)}</h1>{facts_list(facts)}</header>",
        _histograms(totals),
        _skipped(skipped),
        _contact_sheet(cards, totals.per_image.total),
    ]
    return document(title, body, "report")


class _Totals:
    """Counts over all images."""

    def __init__(self):
        self.relative_size, self.predicted_iou = Tally(), Tally()
        self.stability, self.per_image = Tally(), Tally(whole_numbers=True)
        self.depths = np.zeros(len(DEPTHS), np.int64)

    def add(self, image: ImageSummary) -> None:
        pixels = image.size[0] * image.size[1]
        self.relative_size.add(np.sqrt(image.areas / pixels))
        self.predicted_iou.add(image.predicted_iou)
        self.stability.add(image.stability)
        self.per_image.add(np.array([len(image.areas)]))
        if image.depths is not None:
            depths = np.minimum(image.depths, len(DEPTHS) - 1)
            self.depths += np.bincount(depths, minlength=len(DEPTHS))


def _histograms(totals: _Totals) -> str:
    masks, images = totals.relative_size.total, totals.per_image.total
    per_mask = [
        ("Relative mask size", "√(mask area / image area)", totals.relative_size),
        ("Predicted IoU", "IoU, the model's estimate", totals.predicted_iou),
        ("Stability score", "IoU between a low and a high threshold", totals.stability),
    ]
    figures = [
        figure(
            heading,
            f"median {tally.median:.2f}" if masks else "",
            histogram(tally, label=label, counted=MASKS),
        )
        for heading, label, tally in per_mask
    ]
    counts = totals.per_image
    figures.append(
        figure(
            "Masks per image",
            f"median {counts.median:,.0f}" if images else "",
            histogram(counts, label="masks", counted=IMAGES),
        )
    )
    return (
        f"<section><h2>Masks</h2><p>{how_many(masks, MASKS)} in "
        f"{how_many(images, IMAGES)}{_depths(totals)}</p>"
        f'<div class="figures">{"".join(figures)}</div></section>'
    )


def _depths(totals: _Totals) -> str:
    known = int(totals.depths.sum())
    if not known:
        return ""
    counts = ", ".join(
        how_many(count, names)
        for count, names in zip(totals.depths.tolist(), DEPTHS, strict=True)
        if count or names[0] != "deeper"
    )
    only = "" if known == totals.relative_size.total else f"of {known:,} of them, "
    return f"; {only}{counts}"


def _skipped(skipped: Mapping[str, str]) -> str:
    if not skipped:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(reason)}</td></tr>'
        for name, reason in skipped.items()
    )
    # A long list would separate the histograms from the pictures.
    unfolded = " open" if len(skipped) <= 12 else ""
    return (
        f"<section><h2>Skipped</h2><details{unfolded}><summary>"
        f"{how_many(len(skipped), IMAGES)}</summary><table>{rows}</table></details>"
        "</section>"
    )


def _contact_sheet(cards: list[str], images: int) -> str:
    if not cards:
        return ""
    left_out = images - len(cards)
    note = (
        f"{len(cards):,} of {how_many(images, IMAGES)}; {left_out:,} more not shown"
        if left_out
        else how_many(images, IMAGES)
    )
    return (
        f'<section><h2>Images</h2><p>{note}</p><ul class="sheet">\n'
        + "\n".join(cards)
        + "\n</ul></section>"
    )


def _card(image: ImageSummary) -> str:
    height, width = image.size
    masks = how_many(len(image.areas), MASKS).replace(" ", "&nbsp;")
    lines = [f"{width:,}&nbsp;×&nbsp;{height:,} · {masks}"]
    if image.links:
        links = (
            f'<a href="{_address(path)}">{text(label)}</a>'
            for label, path in image.links.items()
        )
        lines.append(" · ".join(links))
    return (
        f'<li><div class="picture">{picture(image.thumbnail, image.name)}</div>'
        f"<h3>{text(image.name)}</h3><p>{'<br>'.join(lines)}</p></li>"
    )


def _address(path: str) -> str:
    """Returns a relative path as a URL that cannot be parsed as anything else."""
    try:
        # The bytes of the name as the operating system has them.
        data = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = path.encode("utf-8", "replace")
    return html.escape("./" + quote(data))
