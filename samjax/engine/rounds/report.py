"""The report of a round: JSON, and one page with all rounds up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax.engine.annotations.rows import Stored
from samjax.engine.marked_json import read_json, write_json
from samjax.engine.sources import is_by_hand
from samjax.files import write_output
from samjax.report.parts import document, facts_list, text

KIND = "report"

_COLUMNS = {
    "round": ("round", "{}"),
    "stage": ("stage", "{}"),
    "images": ("images", "{}"),
    "masks": ("masks", "{}"),
    "masks_per_image": ("masks an image", "{:.1f}"),
    "seconds_per_mask": ("seconds a mask", "{:.1f}"),
    "median_seconds_per_mask": ("median", "{:.1f}"),
    "clicks_per_mask": ("clicks", "{:.1f}"),
    "proposals_taken": ("proposals taken", "{}"),
}


def write_report(
    folder: Path, content: Mapping[str, Any], rows: Sequence[Stored]
) -> None:
    """Writes `report.html`, and then `report.json`.

    Args:
        folder: Folder of the round; those of the rounds before are beside it.
        content: Steps and scores of the round, as `report.json` has them.
        rows: All masks of people, up to the round's revision.
    """
    whole = {**content, "work": work_by_round(rows)}
    earlier = [
        read_json(path)
        for path in sorted(folder.parent.glob("[0-9]*/report.json"))
        if path.parent.name < folder.name
    ]
    page = _page(whole, [*earlier, whole])
    write_output(folder / "report.html", page.encode(), KIND)
    write_json(folder / "report.json", whole)


def work_by_round(rows: Sequence[Stored]) -> list[dict[str, Any]]:
    """Returns the figures of people's work by round and stage.

    Seconds and clicks are means over masks made by hand, where they were counted:
    proposals that were taken as they were are not counted, as in the paper (section 4).

    Args:
        rows: Masks of people.
    """
    groups: dict[tuple[int, int], list[Stored]] = {}
    for row in rows:
        groups.setdefault((row["round"], row["stage"]), []).append(row)
    return [
        _work(number, stage, groups[number, stage]) for number, stage in sorted(groups)
    ]


def _work(number: int, stage: int, rows: Sequence[Stored]) -> dict[str, Any]:
    by_hand = [row for row in rows if is_by_hand(row)]
    seconds = [
        row["active_seconds"] for row in by_hand if row["active_seconds"] is not None
    ]
    clicks = [row["clicks"] for row in by_hand if row["clicks"] is not None]
    images = len({row["image"] for row in rows})
    return {
        "round": number,
        "stage": stage,
        "images": images,
        "masks": len(rows),
        "masks_per_image": len(rows) / images,
        "seconds_per_mask": float(np.mean(seconds)) if seconds else None,
        "median_seconds_per_mask": float(np.median(seconds)) if seconds else None,
        "clicks_per_mask": float(np.mean(clicks)) if clicks else None,
        "proposals_taken": len(rows) - len(by_hand),
    }


def _page(content: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]]) -> str:
    verdict = "registered" if content["registered"] else "kept the model before"
    low, high = content["gold_difference_interval"]
    facts = {
        "IoU after one click": (
            f"{content['gold_iou']:.3f} before, {content['gold_iou_of_next']:.3f} after"
        ),
        "difference": f"{low:+.3f} to {high:+.3f} (95 % over images): {verdict}",
        "images compared on": str(content["gold_images"]),
        "proposals": (
            f"{content['proposals']['masks']} on {content['proposals']['images']} images"
        ),
        "revision": str(content["revision"]),
        "model": content["next_fingerprint"][:12],
    }
    body = [
        f"<header><h1>Round {content['round']}</h1>{facts_list(facts)}</header>",
        _table(
            "Work of people",
            "Seconds and clicks are those of masks made by hand; proposals that were "
            "taken as they were are not counted.",
            [title for title, _ in _COLUMNS.values()],
            [
                [_cell(row.get(name), form) for name, (_, form) in _COLUMNS.items()]
                for row in content["work"]
            ],
        ),
        _table(
            "Models",
            "IoU after a click on the centre of each object, on the images of each round "
            "that were held out, or on gold images.",
            ["round", "before", "after", "difference", "registered"],
            [
                [
                    str(each["round"]),
                    f"{each['gold_iou']:.3f}",
                    f"{each['gold_iou_of_next']:.3f}",
                    "{:+.3f} to {:+.3f}".format(*each["gold_difference_interval"]),
                    "yes" if each["registered"] else "no",
                ]
                for each in rounds
            ],
        ),
        proposer_table(content["proposer"]),
    ]
    return document(f"Round {content['round']}", body, KIND)


def proposer_table(measured: Mapping[str, Any]) -> str:
    """Returns recall and precision of the proposer beside those of the grid, as HTML.

    Args:
        measured: `Proposer.measured`.
    """
    if not measured:
        return ""
    rows = []
    for name in ("proposer", "grid"):
        of = measured[name]
        shown = of["at_threshold"]
        rows.append(
            [
                name,
                _cell(of["recall"], "{:.3f}"),
                _cell(of["precision_of_20"], "{:.3f}"),
                _cell(of["threshold"], "{:.2f}"),
                _cell(shown["precision"], "{:.3f}"),
                _cell(shown["masks_per_image"], "{:.1f}"),
            ]
        )
    ratio = measured["recall_ratio"]
    words = "not defined"
    if ratio["ratio"] is not None:
        low, high = ratio["interval"]
        words = f"{ratio['ratio']:.2f} ({low:.2f} to {high:.2f})"
    return _table(
        "Proposals beside a uniform grid of as many prompts",
        f"On {measured['images']} held-out images, at an IoU of 0.5; the ratio of the "
        f"recalls is {words}.",
        [
            "prompts",
            "recall",
            "precision of 20",
            "threshold",
            "precision",
            "masks shown",
        ],
        rows,
    )


def _table(
    heading: str, note: str, heads: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f"<section><h2>{text(heading)}</h2><p>{text(note)}</p>"
        f'<div class="wide"><table class="scores"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _cell(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)
