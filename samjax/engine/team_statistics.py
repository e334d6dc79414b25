"""Statistics of a team's work by person, round and model.

A mask belongs to the person who made its first version, with the time and the clicks of
that person's last version: what a reviewer changed later is the reviewer's. A proposal
belongs to the person who took it. Masks that a model proposed and nobody changed are
counted apart, and not in the times, as in the paper (SAM, section 4).
"""

from __future__ import annotations

import collections
import csv
import io
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from samjax.engine.agreement import label_agreement
from samjax.engine.annotations.database import Database
from samjax.engine.sources import REJECTED, TAKEN, is_by_hand, is_open
from samjax.engine.team_scores import read_scores

Group = Literal["person", "round", "model"]

GROUPS: tuple[Group, ...] = ("person", "round", "model")

COLUMNS = (
    *("images_done", "images_empty", "skipped", "flagged", "masks", "masks_proposed"),
    *("proposals_taken", "proposals_rejected"),
    *("active_seconds_mean", "active_seconds_median", "active_seconds_p10"),
    *("active_seconds_p90", "wall_seconds_mean", "wall_seconds_median"),
    *("clicks_mean", "strokes_mean", "undos_mean"),
    *("reviewed", "accepted", "fixed", "returned"),
    *("reviews_made", "review_seconds_median"),
    *("gold_images", "gold_iou", "gold_missed", "gold_extra"),
    *("agreement_images", "agreement_iou", "agreement_f1", "agreement_boundary_iou"),
    *("agreement_labels", "agreement_kappa"),
)
"""Columns of the statistics; means are of masks made by hand, None without any."""

_VERSION = (
    *("author", "round", "model", "source", "edited", "deleted", "seconds"),
    *("active_seconds", "clicks", "strokes", "undos"),
)
_BY = """(SELECT id FROM annotations WHERE author = :person
UNION SELECT annotation FROM versions WHERE author = :person)"""
_VERSIONS = f"""
SELECT id AS annotation, revision, {", ".join(_VERSION)} FROM annotations
WHERE :person IS NULL OR id IN {_BY}
UNION ALL
SELECT annotation, revision, {", ".join(_VERSION)} FROM versions
WHERE :person IS NULL OR annotation IN {_BY}
ORDER BY annotation, revision
"""
_TASKS = """
SELECT t.*, NOT EXISTS (
    SELECT 1 FROM annotations a
    WHERE a.image = t.image AND a.layer = t.layer AND a.deleted = 0
    AND NOT (a.source = 'proposed' AND a.edited = 0)
) AS is_empty FROM tasks t WHERE t.kind = 'annotate' AND t.assignee NOT NULL
AND (:person IS NULL OR t.assignee = :person)
"""
_REVIEWS = """
SELECT * FROM reviews
WHERE :person IS NULL OR annotator = :person OR reviewer = :person
"""


def team_statistics(
    database: Database, person: str | None = None
) -> dict[Group, list[dict[str, Any]]]:
    """Returns the statistics: for each group a row of `name` and `COLUMNS` by name.

    Args:
        database: The database.
        person: Name of the only person whose work is read; None for all.

    Raises:
        DatabaseReplaced: The file is not the one that was opened.
    """
    scores = [
        score
        for score in read_scores(database)
        if person in (None, score["person"], score["other_person"])
    ]
    only = {"person": person}
    with database.reading() as read:
        masks = _masks(read.execute(_VERSIONS, only))
        tasks = [dict(row) for row in read.execute(_TASKS, only)]
        reviews = [dict(row) for row in read.execute(_REVIEWS, only)]
    return {group: _rows(group, masks, tasks, reviews, scores) for group in GROUPS}


def set_aside(database: Database) -> list[dict[str, Any]]:
    """Returns the skipped and the flagged tasks: `id`, `image`, `state`, `person`, `note`.

    Raises:
        DatabaseReplaced: The file is not the one that was opened.
    """
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT id, image, kind, state, assignee AS person, note FROM tasks "
            "WHERE state IN ('skipped', 'flagged') ORDER BY changed DESC"
        )
        return [dict(row) for row in rows]


def statistics_csv(
    table: Mapping[Group, Sequence[Mapping[str, Any]]],
    shown: Callable[[str], str] = str,
) -> str:
    """Returns statistics as CSV: the columns `by`, `name` and `COLUMNS`.

    Args:
        table: From `team_statistics`.
        shown: Maps names of people to those that are written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, ("by", "name", *COLUMNS), lineterminator="\n")
    writer.writeheader()
    for group, rows in table.items():
        for row in rows:
            name = shown(row["name"]) if group == "person" else row["name"]
            writer.writerow({**row, "by": group, "name": _plain(name)})
    return text.getvalue()


def _plain(name: Any) -> str:
    """Returns a cell that spreadsheets do not take for a formula."""
    text = str(name)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _masks(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Returns every mask once: its first author's last version, if it was kept."""
    masks: dict[int, dict[str, Any]] = {}
    deleted: dict[int, bool] = {}
    for row in rows:
        known = masks.get(row["annotation"])
        if known is None or is_open(known) or known["author"] == row["author"]:
            masks[row["annotation"]] = dict(row)
        deleted[row["annotation"]] = bool(row["deleted"])
    # A mask that somebody else deleted was made all the same; a proposal that nobody took
    # was not, and a rejected one counts as such.
    return [
        mask
        for number, mask in masks.items()
        if mask["source"] == REJECTED
        or not is_open(mask)
        and not (mask["deleted"] and deleted[number])
    ]


def _rows(
    group: Group,
    masks: Sequence[dict[str, Any]],
    tasks: Sequence[dict[str, Any]],
    reviews: Sequence[dict[str, Any]],
    scores: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    made = _grouped(masks, {"person": "author"}.get(group, group))
    # A task, a review and a score are of no model.
    done = _grouped(tasks, {"person": "assignee"}.get(group, group))
    seen = _grouped(reviews, {"person": "annotator"}.get(group, group))
    made_by = _grouped(reviews, {"person": "reviewer"}.get(group, group))
    scored = _grouped(scores, group)
    if group == "person":
        for score in scores:
            if score["other_person"] is not None:
                scored[score["other_person"]].append(score)
    names = sorted({*made, *done, *seen, *made_by, *scored} - {None, ""}, key=str)
    return [
        {
            "name": name,
            **_of_tasks(done[name]),
            **_of_masks(made[name]),
            **_of_reviews(seen[name]),
            **_of_reviewer(made_by[name]),
            **_of_scores(scored[name]),
        }
        for name in names
    ]


def _grouped(
    rows: Iterable[dict[str, Any]], key: str
) -> collections.defaultdict[Any, list[dict[str, Any]]]:
    grouped: collections.defaultdict[Any, list] = collections.defaultdict(list)
    for row in rows:
        grouped[row.get(key)].append(row)
    return grouped


def _of_tasks(tasks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    states = collections.Counter(task["state"] for task in tasks)
    empty = sum(task["state"] == "done" and task["is_empty"] for task in tasks)
    return {
        "images_done": states["done"],
        "images_empty": empty,
        "skipped": states["skipped"],
        "flagged": states["flagged"],
    }


def _of_masks(masks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rejected = sum(mask["source"] == REJECTED for mask in masks)
    masks = [mask for mask in masks if mask["source"] != REJECTED]
    by_hand = [mask for mask in masks if is_by_hand(mask)]
    active = _values(by_hand, "active_seconds")
    wall = [mask["seconds"] for mask in by_hand if mask["seconds"] > 0]
    tenths = statistics.quantiles(active, n=10) if len(active) > 1 else [None, None]
    return {
        "masks": len(masks),
        "masks_proposed": len(masks) - len(by_hand),
        "proposals_taken": sum(mask["source"] == TAKEN for mask in masks),
        "proposals_rejected": rejected,
        "active_seconds_mean": _mean(active),
        "active_seconds_median": statistics.median(active) if active else None,
        "active_seconds_p10": tenths[0],
        "active_seconds_p90": tenths[-1],
        "wall_seconds_mean": _mean(wall),
        "wall_seconds_median": statistics.median(wall) if wall else None,
        "clicks_mean": _mean(_values(by_hand, "clicks")),
        "strokes_mean": _mean(_values(by_hand, "strokes")),
        "undos_mean": _mean(_values(by_hand, "undos")),
    }


def _of_reviews(reviews: Sequence[dict[str, Any]]) -> dict[str, Any]:
    verdicts = collections.Counter(review["verdict"] for review in reviews)
    names = ("accepted", "fixed", "returned")
    return {"reviewed": len(reviews)} | {name: verdicts[name] for name in names}


def _of_reviewer(reviews: Sequence[dict[str, Any]]) -> dict[str, Any]:
    active = _values(reviews, "active_seconds")
    median = statistics.median(active) if active else None
    return {"reviews_made": len(reviews), "review_seconds_median": median}


def _of_scores(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    gold = [score for score in scores if score["purpose"] == "gold"]
    twice = [score for score in scores if score["purpose"] == "agreement"]
    pairs = sum(score["matched"] for score in twice)
    alone = sum(score["missed"] + score["extra"] for score in twice)
    labels = [pair for score in twice for pair in score["labels"]]
    equal, kappa = label_agreement(labels)
    return {
        "gold_images": len(gold),
        "gold_iou": _mean_iou(gold, "mean_iou"),
        "gold_missed": sum(score["missed"] for score in gold),
        "gold_extra": sum(score["extra"] for score in gold),
        "agreement_images": len(twice),
        "agreement_iou": _mean_iou(twice, "mean_iou"),
        "agreement_f1": 2 * pairs / (2 * pairs + alone) if pairs + alone else None,
        "agreement_boundary_iou": _mean_iou(twice, "boundary_iou"),
        "agreement_labels": equal,
        "agreement_kappa": kappa,
    }


def _mean_iou(scores: Sequence[dict[str, Any]], name: str) -> float | None:
    """Returns the mean of an IoU over all pairs."""
    pairs = sum(score["matched"] for score in scores)
    total = sum(score["matched"] * (score[name] or 0.0) for score in scores)
    return total / pairs if pairs else None


def _values(masks: Iterable[dict[str, Any]], name: str) -> list[float]:
    return [float(mask[name]) for mask in masks if mask[name] is not None]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
