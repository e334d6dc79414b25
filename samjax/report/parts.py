"""Parts of reports: self-contained HTML documents, facts, figures and pictures.

Pictures are embedded as JPEG, charts as SVG, the style as a style sheet. There are no
scripts, and a content security policy forbids scripts and the network, so that names of
files cannot inject any.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from samjax.report.style import STYLE

PICTURE_SIDE = 480


def document(title: str, body: Iterable[str], kind: str) -> str:
    """Returns a whole HTML document.

    Args:
        title: Its title.
        body: The parts of the body; empty ones are left out.
        kind: Kind of file, which the generator's name ends with.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="samjax {kind}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def facts_list(facts: Mapping[str, str]) -> str:
    """Returns a list of facts, text by label; empty without any.

    Args:
        facts: The facts.
    """
    pairs = []
    for label, fact in facts.items():
        # Text that does not fit a column gets a line of its own.
        kind = "long" if len(fact) > 24 else "short"
        pairs.append(
            f'<div class="{kind}"><dt>{text(label)}</dt><dd>{text(fact)}</dd></div>'
        )
    return f"<dl>{''.join(pairs)}</dl>" if pairs else ""


def figure(heading: str, note: str, chart: str) -> str:
    """Returns a chart with its caption.

    Args:
        heading: The heading, as HTML.
        note: A note beside it, as HTML.
        chart: The chart, an SVG element.
    """
    return (
        f"<figure><figcaption><b>{heading}</b> <span>{note}</span></figcaption>"
        f"{chart}</figure>"
    )


def picture(pixels: UInt8[np.ndarray, "h w 3"] | None, name: str) -> str:
    """Returns a picture, scaled down to `PICTURE_SIDE`, or words in its place.

    Args:
        pixels: The picture; None for none.
        name: Its text for readers that show no pictures.
    """
    if pixels is None:
        return "no picture"
    image = Image.fromarray(pixels)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, format="JPEG", quality=85)
    return (
        f'<img src="data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"'
        f' width="{image.width}" height="{image.height}" alt="{text(name)}">'
    )


def text(words: str) -> str:
    """Escapes text for HTML; undecodable bytes of a file name become escapes.

    Args:
        words: The text.
    """
    return html.escape(words.encode("utf-8", "backslashreplace").decode())
