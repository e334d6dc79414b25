"""Masks from clicks and from a box, on sets of photos with masks.

The prompts are those of `prompting`. Scores are named by the number of clicks: `"1"` is
the mean IoU of the mask that the model ranks first after one click, `"oracle"` that of
the best of its three masks by true IoU after one click, `"oracle_3"` the same after
three; `"box"`, `"box_oracle"` and `"box_single"` are from the box of the object alone.
A score of a set is the mean over its objects, the score of several sets the mean over
the sets, both as in SAM's section 7.1.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from samjax.evaluation.datasets.photo_sets import Photo, PhotoSet, Skipped
from samjax.evaluation.intervals import bootstrap_means, interval, mean_of_sets
from samjax.evaluation.metrics.calibration import calibration
from samjax.evaluation.metrics.mask_iou import mean_iou
from samjax.evaluation.policies.interactive_clicks import PromptProtocol, prompt_objects
from samjax.evaluation.result import Result, SetResult
from samjax.evaluation.segmenter import Segmenter

SUITE = "single-point"
NOC_THRESHOLDS = (0.85, 0.90)


@dataclass(frozen=True, kw_only=True)
class PhotoProtocol:
    """The choices that scores on photos depend on.

    Attributes:
        clicks: Numbers of clicks at which the IoU is recorded; 1 is always one of them.
        min_area: Pixels of a photo that an object has at least; smaller ones are left
            out.
        noc: Whether to count the clicks that IoUs of 0.85 and 0.90 take.
        max_clicks: Clicks after which these count as not reached.
        images: Most photos of a set, spread evenly over it; None for all.
        objects: Most objects of a photo, of more some are drawn; None for all.
        seed: Of that draw, and of the bootstrap.
    """

    clicks: tuple[int, ...] = (1, 3, 5)
    min_area: int = 400
    noc: bool = False
    max_clicks: int = 20
    images: int | None = None
    objects: int | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("min_area", "images", "objects"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"got {name}={value}, expected at least 1")
        # Checks the numbers of clicks.
        _ = self.prompts

    @property
    def prompts(self) -> PromptProtocol:
        """The prompts of every object.

        Raises:
            ValueError: A number of clicks is below 1.
        """
        return PromptProtocol(
            clicks=tuple(sorted({1, *self.clicks} if self.clicks else ())),
            thresholds=NOC_THRESHOLDS if self.noc else (),
            max_clicks=self.max_clicks,
        )

    def describe(self) -> dict[str, Any]:
        """Returns every choice, in words where there is no number for it."""
        return {
            "clicks": list(self.prompts.clicks),
            "click": "the pixel of the largest error that is farthest from its border",
            "later_clicks": "the single mask; the last mask's logits are fed back",
            "first_click": "the best-ranked mask of three",
            "box": "tight, of outermost pixels; the best-ranked mask of three",
            "ignored": "taken out of object, mask, clicks and box",
            "min_area": self.min_area,
            "noc_thresholds": list(self.prompts.thresholds),
            "max_clicks": self.max_clicks,
            "images": self.images,
            "objects_per_image": self.objects,
            "intervals": "95 %, percentile bootstrap over images",
            "seed": self.seed,
        }


def evaluate_photos(
    segmenter: Segmenter,
    sets: Sequence[PhotoSet],
    protocol: PhotoProtocol,
    *,
    versions: Mapping[str, str] | None = None,
    on_image: Callable[[], None] = lambda: None,
    on_skipped: Callable[[Skipped], None] = lambda skipped: None,
    on_set: Callable[[SetResult], None] = lambda result: None,
) -> Result:
    """Evaluates a model on sets of photos.

    Args:
        segmenter: The model.
        sets: The sets; each counts as much as the others.
        protocol: The choices to make.
        versions: To note in the result.
        on_image: Is called after every photo.
        on_skipped: Is called with every photo that cannot be used.
        on_set: Is called with the result of every set.

    Raises:
        ValueError: There is no set, two have one name, a set has nothing to score, or
            the number of clicks is asked of a model that takes none.
    """
    names = [one.name for one in sets]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"got the sets {names}, expected some, each with its own name")
    if protocol.noc and "points" not in segmenter.prompt_kinds:
        raise ValueError(
            f"got a model that takes {sorted(segmenter.prompt_kinds)} alone, expected "
            "one that takes points, to count clicks of"
        )
    results, draws = [], []
    for one in sets:
        start = time.perf_counter()
        skipped, records = list(one.skipped), []
        for photo in chosen_photos(one, protocol):
            found = _score_photo(segmenter, photo, protocol)
            if isinstance(found, Skipped):
                skipped.append(found)
                on_skipped(found)
            else:
                records += found
            on_image()
        if not records:
            reasons = "; ".join(f"{part.name}: {part.reason}" for part in skipped[:3])
            raise ValueError(
                f"the set {one.name} has no object to score of at least "
                f"{protocol.min_area} pixels{': ' if reasons else ''}{reasons}"
            )
        means = _bootstrapped(records, protocol.seed)
        results.append(_set_result(one, records, skipped, protocol, means, start))
        draws.append(means)
        on_set(results[-1])
    records = [record for result in results for record in result.objects]
    return Result(
        suite=SUITE,
        model=segmenter.describe(),
        protocol=protocol.describe() | {"prompts": sorted(segmenter.prompt_kinds)},
        deviations=_deviations(protocol),
        scores={
            name: float(np.mean([result.scores[name] for result in results]))
            for name in results[0].scores
        },
        intervals={
            name: interval(mean_of_sets([means[name] for means in draws]))
            for name in results[0].scores
        },
        calibration=_calibration(records),
        sets=tuple(results),
        versions=dict(versions or {}),
    )


def chosen_photos(photo_set: PhotoSet, protocol: PhotoProtocol) -> list[Photo]:
    """Returns the photos of a set that a protocol scores: those with a large object."""
    photos = [
        photo
        for photo in photo_set.photos
        if any(one.area >= protocol.min_area for one in photo.objects)
    ]
    if protocol.images is None or protocol.images >= len(photos):
        return photos
    places = np.linspace(0, len(photos) - 1, protocol.images).round().astype(int)
    return [photos[place] for place in places]


def choose_objects(
    photo: Photo, protocol: PhotoProtocol
) -> tuple[list[int], Bool[np.ndarray, "k h w"], Bool[np.ndarray, "h w"] | None]:
    """Chooses the objects of a photo that a protocol scores.

    Returns:
        Their places among `photo.objects`, their masks, and the ignored pixels.
    """
    masks, ignored = photo.masks(), photo.ignored_pixels()
    counted = masks if ignored is None else masks & ~ignored
    areas = np.count_nonzero(counted, axis=(1, 2))
    places = np.flatnonzero(areas >= protocol.min_area)
    if protocol.objects is not None and protocol.objects < len(places):
        rng = np.random.default_rng([protocol.seed, zlib.crc32(photo.name.encode())])
        places = np.sort(rng.choice(places, protocol.objects, replace=False))
    return places.tolist(), masks[places], ignored


def _score_photo(
    segmenter: Segmenter, photo: Photo, protocol: PhotoProtocol
) -> list[dict[str, Any]] | Skipped:
    """The records of the objects of a photo; why there are none if it is damaged."""
    try:
        image = photo.read()
    except ValueError as error:
        return Skipped(photo.name, "damaged or missing photo", str(error))
    places, masks, ignored = choose_objects(photo, protocol)
    if not places:
        return []
    scores = prompt_objects(segmenter, image, masks, protocol.prompts, ignored=ignored)
    records = []
    for place, of_object in zip(places, scores, strict=True):
        one = photo.objects[place]
        record = {"photo": photo.name, "annotation": one.number}
        record |= {"category": one.category, "area": one.area}
        record["iou"] = _renamed(of_object.iou)
        record["predicted"] = _renamed(of_object.predicted)
        if of_object.clicks and "points" in segmenter.prompt_kinds:
            record["clicks"] = {
                f"{threshold:.2f}": number
                for threshold, number in of_object.clicks.items()
            }
        records.append(record)
    return records


def _renamed(values: Mapping[str, float]) -> dict[str, float]:
    """Names and order of results: `click_3_oracle` is `oracle_3`, clicks come first."""
    renamed = {}
    for name, value in values.items():
        kind, _, rest = name.partition("_")
        number, _, oracle = rest.partition("_")
        if kind != "click":
            continue
        if oracle:
            renamed["oracle" if number == "1" else f"oracle_{number}"] = value
        else:
            renamed[number] = value
    boxes = {name: value for name, value in values.items() if name.startswith("box")}
    return renamed | boxes


def _values(records: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([record["iou"][name] for record in records])


def _photo_numbers(records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    names = [record["photo"] for record in records]
    return np.unique(names, return_inverse=True)[1]


def _bootstrapped(
    records: Sequence[Mapping[str, Any]], seed: int
) -> dict[str, np.ndarray]:
    photos = _photo_numbers(records)
    return {
        name: bootstrap_means(_values(records, name), photos, seed=seed)
        for name in records[0]["iou"]
    }


def _set_result(
    photo_set: PhotoSet,
    records: Sequence[Mapping[str, Any]],
    skipped: Sequence[Skipped],
    protocol: PhotoProtocol,
    means: Mapping[str, np.ndarray],
    start: float,
) -> SetResult:
    by_reason: dict[str, list[str]] = {}
    for part in skipped:
        text = part.detail if part.name in part.detail else f"{part.name} {part.detail}"
        by_reason.setdefault(part.reason, []).append(text.strip())
    return SetResult(
        name=photo_set.name,
        images=len({record["photo"] for record in records}),
        scores={name: mean_iou(_values(records, name).tolist()) for name in means},
        intervals={name: interval(of_name) for name, of_name in means.items()},
        noc=_numbers_of_clicks(records, protocol),
        calibration=_calibration(records),
        small=sum(
            one.area < protocol.min_area
            for photo in photo_set.photos
            for one in photo.objects
        ),
        skipped=by_reason,
        objects=tuple(records),
        seconds=time.perf_counter() - start,
    )


def _numbers_of_clicks(
    records: Sequence[Mapping[str, Any]], protocol: PhotoProtocol
) -> dict[str, dict[str, Any]]:
    """Mean clicks for each threshold; a failure counts as the most clicks."""
    found = {}
    for threshold in records[0].get("clicks", {}):
        numbers = [record["clicks"][threshold] for record in records]
        counted = np.array([number or protocol.max_clicks for number in numbers])
        means = bootstrap_means(counted, _photo_numbers(records), seed=protocol.seed)
        found[threshold] = {
            "mean": float(counted.mean()),
            "interval": interval(means),
            "failures": sum(number is None for number in numbers) / len(numbers),
        }
    return found


def _calibration(records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """That of the best-ranked mask after one click."""
    if "1" not in records[0]["predicted"]:
        return None
    predicted = np.array([record["predicted"]["1"] for record in records])
    return calibration(predicted, _values(records, "1"))


def _deviations(protocol: PhotoProtocol) -> tuple[str, ...]:
    """Where the protocol departs from that of SAM's section 7.1 or says more."""
    deviations = [
        "other sets than the paper's 23",
        f"objects below {protocol.min_area} pixels are left out",
        "after the first click the last mask's logits are a prompt too",
    ]
    if protocol.images is not None or protocol.objects is not None:
        deviations.append("not all photos or objects of the sets")
    return tuple(deviations)
