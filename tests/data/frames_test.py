"""Masks stay on their objects through all writers, readers and orientations.

A photo with a bright object at its top left is stored in all eight orientations, oblong
and square; samjax writes the object's mask in every format, and every reader has to give
an image in which exactly the pixels of the mask are bright.
"""

import dataclasses
import json
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samjax.data.examples import RawExample
from samjax.data.finetune import CocoSource, FolderSource, NpzSource
from samjax.data.formats import read_coco, read_yolo, write_coco
from samjax.data.formats.annotations import make_annotation
from samjax.data.images import find_images
from samjax.data.orientation import stored_view, upright_size
from samjax.data.prepare import PrepareConfig, Status, prepare
from samjax.data.sa1b.source import open_sa1b
from samjax.data.schema import record_from_json
from samjax.engine import run
from samjax.engine.schedule import Outcome
from samjax.evaluation.datasets.examples import read_example
from samjax.evaluation.datasets.photo_sets import read_photo_set
from samjax.geometry.masks import encode_rle, mask_to_counts
from samjax.inference.images import read_image
from samjax.inference.predictor import Predictor
from samjax.models import TINY, Sam

ORIENTATIONS = range(1, 9)
SIZES = {"oblong": (40, 64), "square": (48, 48)}
FORMS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo in a folder, whose mask is of the upright photo."""

    folder: Path
    name: str
    mask: np.ndarray

    @property
    def path(self) -> Path:
        return self.folder / "images" / self.name


@pytest.fixture
def photo(tmp_path, orientation, size) -> Photo:
    height, width = SIZES[size]
    # `pixel_forms_test` has every format in every orientation; here each comes in turn.
    suffix = list(FORMS)[(orientation + height) % len(FORMS)]
    upright = np.zeros((height, width, 3), np.uint8)
    upright[:16, :24] = 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    one = Photo(tmp_path / "photos", f"phone.{suffix}", upright[..., 0] > 0)
    one.path.parent.mkdir(parents=True)
    stored = np.ascontiguousarray(stored_view(upright, orientation))
    Image.fromarray(stored).save(one.path, format=FORMS[suffix], exif=exif)
    return one


@pytest.fixture
def everything(photo, monkeypatch):
    """Writes outputs as `samjax everything` does, with a fake model that returns the mask."""

    def generate(predictor, items, config, **options):
        for item in items:
            image = read_image(item.read())
            assert image.shape[:2] == photo.mask.shape
            one = make_annotation(mask_to_counts(photo.mask), photo.mask.shape, 1)
            yield Outcome(
                item=item, size=image.shape[:2], image=image, annotations=(one,)
            )

    monkeypatch.setattr(run, "generate_for_many", generate)
    monkeypatch.setattr(Predictor, "fingerprint", "none")
    monkeypatch.setattr(run, "weights_fingerprint", lambda *_: "none")
    stand_in = object.__new__(Predictor)
    object.__setattr__(stand_in, "model", Sam(TINY))
    object.__setattr__(stand_in, "params", {})

    def write(out: Path, shard_size: int | None = None):
        items = find_images([photo.path.parent])
        list(run.generate_to_folder(stand_in, items, out, shard_size=shard_size))
        return items

    return write


def beside_the_photo(photo, everything) -> RawExample:
    """Records beside the photos, in the layout of SA-1B's extracted files."""
    everything(photo.path.parent)
    source = open_sa1b(str(photo.path.parent))
    # What the run says of itself is JSON too.
    return next(one for one in map(source.__getitem__, range(len(source))) if one.image)


def tar_of_photo_and_record(photo, everything) -> RawExample:
    """A tar of photo and record."""
    everything(photo.path.parent)
    shard = photo.folder / "sa_000000.tar"
    with tarfile.open(shard, "w") as tar:
        for path in (photo.path, photo.path.with_suffix(".json")):
            tar.add(path, f"./{path.name}")
    return only(open_sa1b(str(shard)))


def shard_of_everything(photo, everything) -> RawExample:
    everything(photo.folder / "out", 10)
    shard = photo.folder / "out" / "sa_000000.tar"
    return only(open_sa1b(str(shard)))


def shard_as_others_read_it(photo, everything) -> RawExample:
    """A record without the field `frame`: the pixels are read as stored."""
    raw = shard_of_everything(photo, everything)
    assert raw.record is not None
    record = record_from_json(bytes(raw.record))  # pyright: ignore
    assert record["image"].pop("frame") == "upright"  # pyright: ignore
    return raw._replace(record=record)


def built_dataset(photo, everything, **options) -> RawExample:
    """The dataset that `samjax data build` writes from a tar of photo and record."""
    pytest.importorskip("array_record")
    from samjax.data.tfds.convert import convert_example
    from samjax.data.tfds.layout import BuildConfig
    from samjax.data.tfds.schema import read_stored

    raw = tar_of_photo_and_record(photo, everything)
    stored = read_stored(convert_example(raw, BuildConfig(**options)).data)
    assert "frame" not in stored.record["image"]
    return RawExample(photo.name, stored.image, stored.record)


def built_dataset_of_originals(photo, everything) -> RawExample:
    return built_dataset(photo, everything, long_side=None)


def coco_of_everything(photo, everything, **options) -> RawExample:
    records = [one.record for one in done(photo, everything)]
    write_coco(photo.folder / "instances.json", records, **options)
    return only(CocoSource(photo.folder / "instances.json"))


def coco_polygons(photo, everything) -> RawExample:
    pytest.importorskip("cv2")
    return coco_of_everything(photo, everything, segmentation="polygons")


def coco_read_to_records(photo, everything) -> RawExample:
    coco_of_everything(photo, everything)
    (record,) = read_coco(photo.folder / "instances.json")
    return RawExample(photo.name, photo.path.read_bytes(), record)


def coco_of_a_labelling_tool(photo, everything) -> RawExample:
    """A COCO file of a tool that shows photos upright, without the field `frame`."""
    records = [one.record for one in done(photo, everything)]
    for record in records:
        del record["image"]["frame"]
    write_coco(photo.folder / "instances.json", records)
    return only(CocoSource(photo.folder / "instances.json"))


def coco_that_says_it_once(photo, everything) -> RawExample:
    """A COCO file with `frame` in its `info`, for all images."""
    records = [one.record for one in done(photo, everything)]
    for record in records:
        del record["image"]["frame"]
    path = photo.folder / "instances.json"
    write_coco(path, records, info={"frame": "upright"})
    return only(CocoSource(path))


def label_map(photo, everything) -> RawExample:
    from samjax.cli.everything_outputs import write_formats

    items = everything(photo.folder / "out")
    (maps,) = write_formats(photo.folder / "out", items, ["label-maps"])
    maps.rename(photo.folder / "masks")
    return only(FolderSource(photo.folder))


def file_of_each_object(photo, everything) -> RawExample:
    (photo.folder / "masks").mkdir()
    mask = Image.fromarray(photo.mask)
    mask.save(photo.folder / "masks" / f"{photo.path.stem}_1.png")
    return only(FolderSource(photo.folder))


def yolo(photo, everything) -> RawExample:
    pytest.importorskip("cv2")
    from samjax.cli.everything_outputs import write_formats

    items = everything(photo.folder / "out")
    (folder,) = write_formats(photo.folder / "out", items, ["yolo"])
    (record,) = read_yolo(folder, photo.path.parent)
    return RawExample(photo.name, photo.path.read_bytes(), record)


def npz(photo, everything) -> RawExample:
    """An npz file of the upright photo: arrays have no orientation."""
    path = photo.folder / "phone.npz"
    np.savez(path, imgs=read_image(photo.path), gts=photo.mask.astype(np.uint8))
    return only(NpzSource(path))


def export_of_serve(photo, form: str) -> dict[str, bytes]:
    pytest.importorskip("fastapi")
    import threading

    from samjax.web.exporting import AnnotatedImage, archive

    stored = {
        "id": 1,
        "segmentation": encode_rle(photo.mask),
        "prompts": {"points": [], "labels": []},
        "score": None,
        "stability_score": None,
        **dict.fromkeys(("uuid", "label", "source", "level", "author", "seconds")),
        "edited": False,
    }
    image = AnnotatedImage(
        image_id=1,
        name=photo.name,
        size=photo.mask.shape,
        annotations=[stored],  # pyright: ignore
    )
    members = archive([image], form, threading.Semaphore())  # pyright: ignore
    return {name: b"".join(chunks) for name, chunks in members}


def serve_as_sa1b(photo, everything) -> RawExample:
    content = export_of_serve(photo, "sa1b")["phone.json"]
    photo.path.with_suffix(".json").write_bytes(content)
    return only(open_sa1b(str(photo.path.parent)))


def serve_as_coco(photo, everything) -> RawExample:
    content = export_of_serve(photo, "coco")["annotations.json"]
    (photo.folder / "annotations.json").write_bytes(content)
    return only(CocoSource(photo.folder / "annotations.json"))


def serve_as_label_map(photo, everything) -> RawExample:
    (photo.folder / "masks").mkdir()
    content = export_of_serve(photo, "png")["phone.png"]
    (photo.folder / "masks" / "phone.png").write_bytes(content)
    return only(FolderSource(photo.folder))


def done(photo, everything):
    everything(photo.folder / "out")
    record = record_from_json((photo.folder / "out" / "phone.json").read_bytes())
    return [types.SimpleNamespace(record=record)]


def only(source) -> RawExample:
    assert len(source) == 1
    return source[0]


WAYS = [
    beside_the_photo,
    tar_of_photo_and_record,
    shard_of_everything,
    shard_as_others_read_it,
    built_dataset,
    built_dataset_of_originals,
    coco_of_everything,
    coco_polygons,
    coco_read_to_records,
    coco_of_a_labelling_tool,
    coco_that_says_it_once,
    label_map,
    file_of_each_object,
    yolo,
    npz,
    serve_as_sa1b,
    serve_as_coco,
    serve_as_label_map,
]


@pytest.mark.filterwarnings("ignore:.*EXIF orientation:UserWarning")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mask_lies_on_its_object(photo, everything, way):
    raw = way(photo, everything)
    image, masks = read_example(raw)
    np.testing.assert_array_equal(masks, photo.mask[None])
    assert image[masks[0]].mean() > 240
    assert image[~masks[0]].mean() < 8
    # As a training step has it, at half the size.
    side = max(photo.mask.shape) // 2
    config = PrepareConfig(image_size=side, masks_per_image=1)
    example = prepare(raw, config, np.random.default_rng(0))
    assert Status(int(example.status)) is Status.FINE
    assert example.image[1:7, 1:11].mean() > 235
    assert example.image[10:, 14:].mean() < 12


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_evaluation_dataset_reads_photos_in_the_frame_of_their_masks(
    photo, everything, orientation
):
    coco_of_everything(photo, everything)
    folder = photo.folder / "set"
    folder.mkdir()
    photo.path.parent.rename(folder / "images")
    (photo.folder / "instances.json").rename(folder / "annotations.json")
    (one,) = read_photo_set(folder).photos
    assert one.read()[one.masks()[0]].mean() > 240
    as_stored = dataclasses.replace(
        one, frame="stored", size=upright_size(one.size, orientation)
    )
    mask = stored_view(one.masks()[0], orientation)
    assert as_stored.read()[mask].mean() > 240


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_declared_stored_frame_is_followed(photo, orientation):
    mask = np.ascontiguousarray(stored_view(photo.mask, orientation))
    write_masks_of_stored_pixels(photo, mask, frame="stored")
    image, masks = read_example(only(CocoSource(photo.folder / "instances.json")))
    np.testing.assert_array_equal(masks[0], mask)
    assert image[mask].mean() > 240 and image[~mask].mean() < 8


@pytest.mark.parametrize("size", ["oblong"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_masks_of_the_stored_frame_are_recognized_by_their_size(photo, orientation):
    mask = np.ascontiguousarray(stored_view(photo.mask, orientation))
    write_masks_of_stored_pixels(photo, mask)
    image, masks = read_example(only(CocoSource(photo.folder / "instances.json")))
    assert image[masks[0]].mean() > 240


@pytest.mark.parametrize(
    ("orientation", "size", "said"),
    [
        (1, "square", False),
        (6, "oblong", False),
        (6, "square", True),
        (3, "oblong", True),
    ],
)
def test_ambiguous_sizes_give_a_warning_about_the_frame(
    photo, everything, said, recwarn
):
    coco_of_a_labelling_tool(photo, everything)
    words = [str(one.message) for one in recwarn]
    assert any("EXIF orientation" in one for one in words) == said
    recwarn.clear()
    coco_of_everything(photo, everything)
    assert not recwarn.list


def write_masks_of_stored_pixels(photo, mask, **fields):
    """A COCO file of a tool that ignores orientations."""
    image = {
        "id": 1,
        "width": mask.shape[1],
        "height": mask.shape[0],
        "file_name": photo.name,
    }
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0}
    annotation["segmentation"] = encode_rle(mask)
    content = {"images": [image | fields], "annotations": [annotation]}
    (photo.folder / "instances.json").write_text(json.dumps(content))
