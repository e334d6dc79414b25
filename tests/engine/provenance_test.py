"""Provenance of a snapshot as PROV-JSON: every relation's ends exist, and are right."""

import json

import pytest
from engine.annotations.store_test import add
from engine.snapshot_test import png, store

from samjax.engine.snapshot import write_snapshot
from samjax.files import sha256_of

__all__ = ["store"]

ENDS = {
    "wasGeneratedBy": {"entity": "entity", "activity": "activity"},
    "used": {"activity": "activity", "entity": "entity"},
    "wasAttributedTo": {"entity": "entity", "agent": "agent"},
    "wasAssociatedWith": {"activity": "activity", "agent": "agent"},
    "wasDerivedFrom": {"generatedEntity": "entity", "usedEntity": "entity"},
    "hadMember": {"collection": "entity", "entity": "entity"},
}


@pytest.fixture
def document(store, tmp_path):
    add(store, "one", "sub/a.png", author="Ada", round=2, model="m7", clicks=0)
    add(store, "two", "sub/a.png", author="Ada", round=2, model="m7")
    add(store, "three", "b.png", author="", source="proposed", stage=2, model="m8")
    manifest = write_snapshot(store, png, tmp_path / "out")
    path = tmp_path / "out" / "prov.json"
    assert manifest["prov"] == sha256_of(path)
    return json.loads(path.read_text())


def ends_of(document, relation):
    return {
        tuple(each[f"prov:{end}"].removeprefix("samjax:") for end in ENDS[relation])
        for each in document[relation].values()
    }


def test_every_end_of_a_relation_is_an_element_of_its_kind(document):
    for relation, ends in ENDS.items():
        assert document[relation]
        for each in document[relation].values():
            assert each.keys() == {f"prov:{end}" for end in ends}
            for end, kind in ends.items():
                assert each[f"prov:{end}"] in document[kind]
    for kind in ("entity", "activity", "agent"):
        assert all(name.startswith("samjax:") for name in document[kind])


def test_masks_belong_to_people_by_pseudonym_and_proposals_to_samjax(document):
    made = dict(ends_of(document, "wasAttributedTo"))
    assert made["mask/one/1"] == "person/person-2" and made["mask/three/3"] == "samjax"
    assert "Ada" not in json.dumps(document)
    assert ("annotation/2/000002_a.png", "model/m7") in ends_of(document, "used")
    assert ("mask/two/2", "image/000002_a.png") in ends_of(document, "wasDerivedFrom")
    assert {member for _, member in ends_of(document, "hadMember")} == {
        name.removeprefix("samjax:")
        for name, entity in document["entity"].items()
        if entity["prov:type"]["$"] == "samjax:Mask"
    }


def test_what_was_not_counted_is_left_out_and_zero_is_not(document):
    one, three = (document["entity"][f"samjax:mask/{m}"] for m in ("one/1", "three/3"))
    assert one["samjax:clicks"] == 0 and "samjax:clicks" not in three
    assert three["samjax:source"] == "proposed" and one["samjax:round"] == 2
