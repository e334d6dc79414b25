"""Provenance of a snapshot in PROV-JSON, the W3C's model of provenance.

Entities are versions of masks, images, models and the snapshot; activities are the
annotation of an image and the making of the snapshot; agents are people, by pseudonyms,
and samjax. (W3C: PROV-DM, Recommendation of 30 April 2013; PROV-JSON, Member Submission
of 24 April 2013.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samjax.engine.annotations.rows import Stored
from samjax.engine.sources import is_by_people

PROV = "prov.json"

_NAMESPACE = "urn:samjax:"


def provenance(
    manifest: Mapping[str, Any],
    rows: Sequence[Stored],
    files: Mapping[str, str],
    authors: Mapping[str, str],
) -> dict[str, Any]:
    """Returns the provenance of a snapshot.

    Args:
        manifest: `revision` and `shards` of the snapshot.
        rows: Its masks.
        files: Name of each image in the shards, by its name in the store.
        authors: Pseudonym of each author.

    Returns:
        A PROV-JSON document with `entity`, `activity`, `agent` and the relations
        `wasGeneratedBy`, `used`, `wasAttributedTo`, `wasAssociatedWith`,
        `wasDerivedFrom` and `hadMember`.
    """
    document = _Document()
    snapshot = f"snapshot/{manifest['revision']}"
    document.entity(
        snapshot,
        "prov:Collection",
        revision=manifest["revision"],
        sha256=[shard["sha256"] for shard in manifest["shards"]],
    )
    document.add("agent", "samjax", {"prov:type": _type("prov:SoftwareAgent")})
    document.add("activity", f"{snapshot}/making", {})
    document.relate("wasGeneratedBy", entity=snapshot, activity=f"{snapshot}/making")
    document.relate("wasAssociatedWith", activity=f"{snapshot}/making", agent="samjax")
    for row in rows:
        _add_mask(document, row, files[row["image"]], authors[row["author"]])
        document.relate("hadMember", collection=snapshot, entity=_mask_id(row))
    return document.content


class _Document:
    """A PROV-JSON document that is filled piece by piece."""

    def __init__(self):
        self.content: dict[str, Any] = {
            "prefix": {
                "prov": "http://www.w3.org/ns/prov#",
                "xsd": "http://www.w3.org/2001/XMLSchema#",
                "samjax": _NAMESPACE,
            }
        }
        self._seen: set[tuple[str, ...]] = set()

    def add(self, kind: str, name: str, fields: Mapping[str, Any]) -> None:
        """Adds an element unless it is there."""
        self.content.setdefault(kind, {}).setdefault(f"samjax:{name}", dict(fields))

    def entity(self, name: str, kind: str, **fields: Any) -> None:
        """Adds an entity with a type and fields; those without a value are left out."""
        own = {
            f"samjax:{key}": value
            for key, value in fields.items()
            if value is not None and value != ""
        }
        self.add("entity", name, {"prov:type": _type(kind), **own})

    def relate(self, relation: str, **ends: str) -> None:
        """Adds a relation between elements unless it is there."""
        key = (relation, *ends.values())
        if key in self._seen:
            return
        self._seen.add(key)
        of_kind = self.content.setdefault(relation, {})
        of_kind[f"_:{relation}{len(of_kind) + 1}"] = {
            f"prov:{end}": f"samjax:{name}" for end, name in ends.items()
        }


def _add_mask(document: _Document, row: Stored, file: str, person: str) -> None:
    mask = _mask_id(row)
    document.entity(
        mask,
        "samjax:Mask",
        **{
            name: row[name]
            for name in ("label", "stage", "round", "source", "edited", "clicks")
        },
        active_seconds=row["active_seconds"],
    )
    image = f"image/{file}"
    document.entity(image, "samjax:Image")
    work = f"annotation/{row['round']}/{file}"
    document.add("activity", work, {})
    document.relate("used", activity=work, entity=image)
    document.relate("wasGeneratedBy", entity=mask, activity=work)
    document.relate("wasDerivedFrom", generatedEntity=mask, usedEntity=image)
    if row["model"]:
        model = f"model/{row['model']}"
        document.entity(model, "samjax:Model")
        document.relate("used", activity=work, entity=model)
    # Nobody has touched a proposal: it is samjax's.
    agent = "samjax"
    if is_by_people(row):
        agent = f"person/{person}"
        document.add("agent", agent, {"prov:type": _type("prov:Person")})
    document.relate("wasAttributedTo", entity=mask, agent=agent)
    document.relate("wasAssociatedWith", activity=work, agent=agent)


def _mask_id(row: Stored) -> str:
    return f"mask/{row['uuid']}/{row['revision']}"


def _type(kind: str) -> dict[str, str]:
    return {"$": kind, "type": "prov:QUALIFIED_NAME"}
