"""Automatic mask generation on images and crops of few pixels."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from samjax.data.images import find_images
from samjax.devices import DeviceError
from samjax.engine import schedule
from samjax.engine.schedule import generate_for_many
from samjax.geometry.frame import Frame
from samjax.inference import Predictor
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import generate_masks
from samjax.inference.automatic.incremental import generate_in_steps
from samjax.inference.automatic.schedule import Schedule, make_schedule, size_class
from samjax.models import Sam

OPEN = AutomaticConfig(
    points_per_side=2,
    pred_iou_thresh=0,
    stability_score_thresh=0,
    box_nms_thresh=1,
    output_mode="uncompressed_rle",
)
# (h, w) and layers of crops: one pixel, sides of the 8 pixels of a byte of rows, lines,
# strips, crops that get small before the image does. Each compiles for itself.
SIZES = [((1, 1), 0), ((8, 8), 0), ((4, 60), 0), ((1, 100), 0), ((12, 12), 1)]
MORE_SIZES = [((9, 7), 0), ((60, 4), 0), ((3, 250), 0), ((17, 16), 0), ((16, 9), 1),
              ((10, 40), 2)]  # fmt: skip


@pytest.fixture(scope="module")
def predictor(tiny_model) -> Predictor:
    return Predictor(*tiny_model)


@pytest.fixture(scope="module")
def both(small_config):
    """The released generator's model, and samjax with its weights and its pixels."""
    import reference

    sam = reference.build_reference(small_config, seed=4)
    params = reference.to_params(sam, small_config)
    model = Sam(small_config)
    reference.encode_with(sam, model, params)
    return Predictor(model, params), sam


@pytest.mark.parity
@pytest.mark.parametrize(
    ("size", "layers"),
    [*SIZES, *(pytest.param(*row, marks=pytest.mark.exhaustive) for row in MORE_SIZES)],
)
def test_records_are_those_of_the_reference_to_the_bit(both, size, layers):
    from segment_anything import SamAutomaticMaskGenerator

    predictor, sam = both
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    options = dataclasses.asdict(OPEN) | {"crop_n_layers": layers}
    released = {
        name: value
        for name, value in options.items()
        if name not in ("max_mask_area_fraction", "mask_nms_thresh", "drop_small_masks")
    }
    theirs = SamAutomaticMaskGenerator(sam, **released).generate(image)
    ours = generate_masks(predictor, image, AutomaticConfig(**options))
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one["segmentation"] == other["segmentation"]
        assert one["bbox"] == other["bbox"] and one["area"] == other["area"]
        assert one["crop_box"] == other["crop_box"]
        np.testing.assert_allclose(one["point_coords"], other["point_coords"])


@pytest.mark.parametrize(
    ("size", "layers"), [((1, 1), 2), ((1, 2), 1), ((3, 5), 2), ((4, 60), 1)]
)
def test_every_size_has_records_however_many_crops(predictor, size, layers):
    """Where crops would have no pixel the reference fails."""
    image = np.full((*size, 3), 90, np.uint8)
    config = dataclasses.replace(OPEN, crop_n_layers=layers)
    records = generate_masks(predictor, image, config)
    assert all(record["segmentation"]["size"] == list(size) for record in records)
    assert records


@pytest.mark.parametrize("side", [1, 2, 7, 8, 9, 63, 64, 65, 512, 513, 5000])
def test_a_side_is_rounded_up_to_a_size_class(side):
    assert side <= size_class(side) <= max(64, side * 9 / 8 + 64)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (4, 60), (3, 5), (64, 64), (20, 30)])
def test_sizes_of_the_smallest_class_share_compiled_code(size):
    def shapes(original):
        frame = Frame.fit(original, 64)
        return jax.tree.map(np.shape, make_schedule(frame, 32, 4, on_cpu=True)[:2])

    assert shapes(size) == shapes((17, 40))
    # Larger images read no more low-res pixels than they need.
    assert shapes((600, 400))[0].weights[-1] < 32


@pytest.mark.parametrize(
    ("given", "points", "together"),
    [(64, 1024, 64), (64, 4, 4), (10**6, 4, 4), (10**9, 1, 1), (1, 9, 1), (7, 9, 7)],
)
def test_a_batch_has_no_more_points_than_the_grid(
    predictor, monkeypatch, given, points, together
):
    config = dataclasses.replace(
        OPEN,
        points_per_side=None,
        point_grids=(np.random.default_rng(0).uniform(0, 1, (points, 2)),),
        points_per_batch=given,
    )
    assert config.batch_size(points) == together
    if points > 9:
        return
    seen = []

    def watched(frame, low_res_size, chunk, *, on_cpu) -> Schedule:
        seen.append(chunk)
        return make_schedule(frame, low_res_size, chunk, on_cpu=on_cpu)

    monkeypatch.setattr("samjax.inference.automatic.generate.make_schedule", watched)
    image = np.zeros((20, 30, 3), np.uint8)
    records = generate_masks(predictor, image, config)
    steps = list(generate_in_steps(predictor, predictor.embed(image), config))
    assert set(seen) == {together}
    assert len(steps[-1].records or ()) == len(records) > 0


@pytest.fixture
def folder(tmp_path):
    for name, size in (("a", (8, 8)), ("b", (40, 30)), ("c", (1, 1)), ("d", (30, 40))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    return tmp_path


def test_small_and_large_images_of_a_folder_are_all_segmented(predictor, folder):
    for tile_size in (None, 16):
        outcomes = generate_for_many(
            predictor,
            find_images([folder]),
            dataclasses.replace(OPEN, crop_n_layers=1),
            tile_size=tile_size,
        )
        assert [(o.problem, o.item.stem) for o in outcomes] == [
            (None, name) for name in "abcd"
        ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("the image is odd"), "the image is odd"),
        (IndexError("7"), "IndexError: 7"),
        (RuntimeError("first\n  second"), "RuntimeError: first second"),
        (AssertionError(), "AssertionError: "),
        (MemoryError(), "out of memory: on the host"),
        (DeviceError("no such device"), "no such device"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating "
         "787016180680 bytes."), "out of memory for 733.0 GiB on the device. Use less memory"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_image_that_fails_does_not_stop_the_others(
    predictor, folder, monkeypatch, error, told
):
    def fail_for_the_widest(predictor, image, config):
        if image.shape[1] == 40:
            raise error
        return generate_masks(predictor, image, config)

    monkeypatch.setattr(schedule, "generate_masks", fail_for_the_widest)
    outcomes = list(generate_for_many(predictor, find_images([folder]), OPEN))
    assert [outcome.item.stem for outcome in outcomes] == list("abcd")
    a, b, *others = outcomes
    assert all(outcome.problem is None for outcome in (a, *others))
    assert b.problem.startswith(told)


def test_a_missing_package_stops_the_run(predictor, folder, monkeypatch):
    def fail(*_):
        raise ImportError("no OpenCV")

    monkeypatch.setattr(schedule, "generate_masks", fail)
    with pytest.raises(ImportError, match="OpenCV"):
        list(generate_for_many(predictor, find_images([folder]), OPEN))


def test_scores_that_are_not_finite_are_refused(tiny_model):
    model, params = tiny_model
    broken = jax.tree.map(lambda leaf: leaf, params)
    neck = broken["image_encoder"]["neck_0"]
    neck["kernel"] = np.asarray(neck["kernel"]) * np.float32("nan")
    with pytest.raises(ValueError, match=r"not finite \(NaN\)"):
        generate_masks(Predictor(model, broken), np.zeros((20, 30, 3), np.uint8), OPEN)
