"""Which mask lies in which, on records."""

import numpy as np

from samjax.geometry.masks import encode_rle
from samjax.inference.automatic.hierarchy import with_hierarchy


def annotation(mask: np.ndarray, number: int) -> dict:
    return {"segmentation": encode_rle(mask), "id": number, "area": int(mask.sum())}


def test_parts_and_subparts_have_their_parents():
    masks = np.zeros((4, 20, 20), bool)
    masks[0, 2:18, 2:18] = True
    masks[1, 4:12, 4:12] = True
    masks[2, 5:8, 5:8] = True
    masks[3, 0:2] = True
    order = [2, 0, 3, 1]
    given = [annotation(masks[i], 10 + i) for i in order]
    found = {a["id"]: dict(a) for a in with_hierarchy(given)}
    assert {key: a["parent"] for key, a in found.items()} == {
        10: None,
        11: 10,
        12: 11,
        13: None,
    }
    assert [found[10 + i]["depth"] for i in range(4)] == [0, 1, 2, 0]
    assert "parent" not in given[0]


def test_the_threshold_is_the_share_inside_the_parent():
    whole, part = np.zeros((2, 10, 10), bool)
    whole[:, :5] = True
    part[:2, 1:7] = True  # Two thirds of it lie inside.
    records = [annotation(whole, 0), annotation(part, 1)]
    assert with_hierarchy(records, 0.6)[1].get("parent") == 0
    assert with_hierarchy(records, 0.7)[1].get("parent") is None


def test_no_masks_have_no_hierarchy():
    assert with_hierarchy([]) == []
