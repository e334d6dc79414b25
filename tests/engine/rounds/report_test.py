"""Figures of people's work, the report's page, and what is held out."""

import pytest

from samjax.engine.proposer.measuring import score_image, summarize
from samjax.engine.rounds.comparing import held_out_images
from samjax.engine.rounds.config import RoundConfig
from samjax.engine.rounds.report import work_by_round, write_report


def row(**more):
    base = {"round": 1, "stage": 1, "image": "a.png", "source": "click"}
    base |= {"edited": False, "clicks": 4, "active_seconds": 20.0}
    return base | more


def test_taken_proposals_are_masks_and_no_work_by_hand():
    rows = [
        row(),
        row(image="b.png", clicks=2, active_seconds=10.0),
        row(stage=2, round=2, active_seconds=30.0, clicks=6),
        row(stage=2, round=2, source="proposal", clicks=0, active_seconds=0.5),
        row(stage=2, round=2, source="proposal", edited=True, active_seconds=50.0),
        row(stage=2, round=2, clicks=None, active_seconds=None),
    ]
    first, second = work_by_round(rows)
    assert (first["masks"], first["images"], first["seconds_per_mask"]) == (2, 2, 15.0)
    assert (second["masks"], second["proposals_taken"]) == (4, 1)
    assert second["seconds_per_mask"] == 40.0 and second["clicks_per_mask"] == 5.0
    assert second["masks_per_image"] == 4.0


def test_the_page_lists_all_rounds_before(tmp_path):
    import numpy as np

    summary = summarize([score_image(np.eye(3))]) | {
        "threshold": None,
        "at_threshold": {"masks_per_image": 0.0, "precision": None, "interval": None},
    }
    measured = {"images": 1, "proposer": summary, "grid": summary}
    measured["recall_ratio"] = {"ratio": None, "interval": None}
    content = {
        "revision": 7,
        "gold_images": 2,
        "gold_iou": 0.5,
        "gold_iou_of_next": 0.6,
        "gold_difference_interval": [0.05, 0.15],
        "registered": True,
        "next_fingerprint": "abc",
        "proposals": {"images": 3, "masks": 9},
        "proposer": measured,
    }
    for number in (1, 2):
        folder = tmp_path / f"{number:02d}"
        folder.mkdir()
        write_report(folder, {"round": number, **content}, [row()])
    page = (tmp_path / "02" / "report.html").read_text()
    assert page.count("+0.050 to +0.150") == 3
    assert (tmp_path / "01" / "report.html").read_text().count("+0.050") == 2


def test_held_out_images_are_chosen_by_name_and_never_all_or_none():
    names = {f"{number}.png" for number in range(200)}
    held_out = held_out_images(names, 0.2)
    assert 25 <= len(held_out) <= 55
    # An image stays where it is when others come.
    assert held_out <= held_out_images(names | {"more.png"}, 0.2) | {"more.png"}
    assert (
        len(held_out_images({"a", "b"}, 0.001))
        == len(held_out_images({"a", "b"}, 0.999))
        == 1
    )


@pytest.mark.parametrize(
    "wrong",
    [{"number": 0}, {"steps": 0}, {"held_out": 0.0}, {"held_out": 1.0}]
    + [{"hand_weight": 0.0}, {"points": 0}],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RoundConfig(**{"number": 1, "initial": "tiny", **wrong})
