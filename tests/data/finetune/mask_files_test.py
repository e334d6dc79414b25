"""Mask files of all kinds: their objects, or the reason why there are none."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from samjax.data.finetune.mask_files import read_labels, read_object

SIZE = (100, 120)
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]


def disc(scale=4, box=(25, 20, 75, 70)) -> Image.Image:
    """A disc, at a multiple of the size."""
    image = Image.new("L", (SIZE[1] * scale, SIZE[0] * scale))
    ImageDraw.Draw(image).ellipse([side * scale for side in box], fill=255)
    return image


HARD = np.array(disc(1)) > 0
SECOND = np.array(disc(1, (85, 40, 115, 90))) > 0
SOFT = disc().resize(SIZE[::-1], Image.Resampling.BILINEAR)


def blurred(radius: float) -> Image.Image:
    return disc(1).filter(ImageFilter.GaussianBlur(radius))


def grey(array, dtype=np.uint8) -> Image.Image:
    return Image.fromarray(np.asarray(array).astype(dtype))


def changed(image: Image.Image, change) -> Image.Image:
    return grey(change(np.array(image).astype(int)))


def with_alpha(alpha: Image.Image, colour=(255, 255, 255), mode="RGBA") -> Image.Image:
    image = Image.new("RGBA", alpha.size, colour)
    image.putalpha(alpha)
    return image.convert(mode)


def with_palette(labels, colours, **places) -> Image.Image:
    image = Image.fromarray(np.asarray(labels).astype(np.uint8), "P")
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    for place, colour in places.items():
        table[int(place.removeprefix("at_"))] = colour
    image.putpalette(table.reshape(-1).tolist())
    return image


def saved(folder, image: Image.Image, kind: str = "png", **options):
    path = folder / f"leaf.{kind}"
    image.save(path, **options)
    return path


# One disc: file by file the image, its kind, and how to save it.
ONE = {
    "black and white": (disc(1), "png", {}),
    "0 and 1": (grey(HARD), "png", {}),
    "0 and 128": (grey(128 * HARD), "png", {}),
    "one bit": (grey(255 * HARD).convert("1"), "png", {}),
    "16 bits": (grey(65535 * HARD, np.uint16), "png", {}),
    "int32": (grey(7 * HARD, np.int32), "tif", {}),
    "float 0 and 1": (grey(HARD, np.float32), "tif", {}),
    "soft, grey": (SOFT, "png", {}),
    "soft, RGB": (SOFT.convert("RGB"), "png", {}),
    "soft, float": (grey(np.array(SOFT) / 255, np.float32), "tif", {}),
    "soft, 16 bits": (grey(np.array(SOFT) * 257.0, np.uint16), "png", {}),
    "soft, cubic": (disc(3).resize(SIZE[::-1], Image.Resampling.BICUBIC), "png", {}),
    "soft, few levels": (changed(SOFT, lambda v: v // 64 * 85), "png", {}),
    "soft, one level": (
        changed(SOFT, lambda v: (v > 60) * 100 + (v > 190) * 155),
        "png",
        {},
    ),
    "soft, a palette": (SOFT.convert("P"), "png", {}),
    "soft, GIF": (SOFT, "gif", {}),
    "soft, a colour": (
        Image.merge(
            "RGB", (SOFT, changed(SOFT, lambda v: v // 2), Image.new("L", SOFT.size))
        ),
        "png",
        {},
    ),
    "hard, a palette": (disc(1).convert("RGB").quantize(4), "png", {}),
    "blurred by 1": (blurred(1), "png", {}),
    "blurred by 4": (blurred(4), "png", {}),
    "JPEG": (disc(1), "jpg", {"quality": 75}),
    "JPEG, poor": (disc(1), "jpg", {"quality": 20}),
    "JPEG, good": (disc(1), "jpeg", {"quality": 98}),
    "JPEG, RGB": (disc(1).convert("RGB"), "jpg", {}),
    "JPEG, soft": (SOFT, "jpg", {}),
    "WebP": (disc(1), "webp", {"quality": 60}),
    "WebP, exact": (disc(1), "webp", {"lossless": True}),
    "alpha, white": (with_alpha(disc(1)), "png", {}),
    "alpha, black": (with_alpha(disc(1), (0, 0, 0)), "png", {}),
    "alpha, grey": (with_alpha(disc(1), mode="LA"), "png", {}),
    "alpha, soft": (with_alpha(SOFT), "png", {}),
    "alpha, all opaque": (disc(1).convert("RGBA"), "png", {}),
    "alpha, all see-through": (
        Image.merge("RGBA", [disc(1)] * 3 + [Image.new("L", SIZE[::-1])]),
        "png",
        {},
    ),
    "alpha, half": (
        with_alpha(changed(disc(1), lambda v: v // 2), (200, 0, 0)),
        "png",
        {},
    ),
}


@pytest.mark.parametrize("case", ONE)
@pytest.mark.parametrize("read", [read_labels, read_object])
def test_one_disc_is_one_object(tmp_path, case, read):
    image, kind, options = ONE[case]
    labels, _ = read(saved(tmp_path, image, kind, **options))
    assert len(np.unique(labels)) == 2
    # A line of pixels round the edge may be on either side.
    wrong = (labels > 0) != HARD
    assert wrong.sum() <= (0 if is_exact(case) else 0.1 * HARD.sum())


def is_exact(case: str) -> bool:
    return not any(word in case for word in ("soft", "blurred", "JPEG", "WebP"))


@pytest.mark.parametrize("quality", [20, 60, 90, 95, 99])
@pytest.mark.parametrize("image", [disc(4), disc(1)], ids=["large", "small"])
def test_a_mask_with_jpeg_noise_is_one_object(tmp_path, image, quality):
    with Image.open(saved(tmp_path, image, "jpg", quality=quality)) as once:
        labels, _ = read_labels(saved(tmp_path, once.copy(), "png"))
    expected = np.array(image) > 127
    assert len(np.unique(labels)) == 2
    assert ((labels > 0) != expected).sum() < 0.03 * expected.sum()


def test_a_thin_object_that_was_blurred_is_one_object(tmp_path):
    line = Image.new("L", (800, 600))
    ImageDraw.Draw(line).line((100, 100, 700, 400), fill=255, width=6)
    labels, notes = read_labels(
        saved(tmp_path, line.filter(ImageFilter.GaussianBlur(12)))
    )
    assert len(np.unique(labels)) == 2 and "taken for one object" in notes[0]


@pytest.mark.parametrize("radius", [16, 24])
def test_a_wide_blur_is_one_object(tmp_path, radius):
    image = disc(8).filter(ImageFilter.GaussianBlur(radius))
    labels, _ = read_labels(saved(tmp_path, image))
    assert len(np.unique(labels)) == 2
    assert abs(labels.sum() / 64 / HARD.sum() - 1) < 0.05


TWO = {
    "labels": (grey(3 * HARD + 200 * SECOND), "png"),
    "labels to the top": (grey(3 * HARD + 254 * SECOND), "png"),
    "black, grey, white": (grey(128 * HARD + 255 * SECOND), "png"),
    "large labels": (grey(1000 * HARD + 40000 * SECOND, np.uint16), "png"),
    "floats that are whole": (grey(2 * HARD + 3 * SECOND, np.float32), "tif"),
    "nothing at 0": (grey(100 + 27 * HARD + 100 * SECOND), "png"),
    "a palette of VOC": (with_palette(2 * HARD + 3 * SECOND, VOC), "png"),
    "a palette without black at 0": (
        with_palette(
            HARD * 0 + 2 * SECOND + (~HARD & ~SECOND),
            [(9, 9, 200), (0, 0, 0), (200, 9, 9)],
        ),
        "png",
    ),
    "colours": (
        Image.fromarray(
            np.dstack([200 * HARD, 90 * SECOND, 0 * HARD]).astype(np.uint8)
        ),
        "png",
    ),
    "colours on nothing": (
        Image.fromarray(
            np.dstack(
                [200 * HARD, 90 * SECOND, 9 * HARD, 255 * (HARD | SECOND)]
            ).astype(np.uint8)
        ),
        "png",
    ),
    "VOC's void": (with_palette(np.where(SECOND, 2, HARD) + 0, VOC), "png"),
}


@pytest.mark.parametrize("case", TWO)
def test_two_labels_are_two_objects(tmp_path, case):
    labels, notes = read_labels(saved(tmp_path, *TWO[case]))
    masks = {(labels == label).tobytes() for label in np.unique(labels[labels > 0])}
    around = {(~HARD & ~SECOND).tobytes()} if case == "nothing at 0" else set()
    assert masks == {HARD.tobytes(), SECOND.tobytes()} | around and not notes


def ring(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels around a mask."""
    image = grey(255 * mask).filter(ImageFilter.MaxFilter(2 * width + 1))
    return (np.array(image) > 0) & ~mask


VOIDS = {
    "VOC": with_palette(HARD + 255 * ring(HARD, 2), VOC, at_255=(224, 224, 192)),
    "VOC, grey": grey(HARD + 255 * ring(HARD, 2)),
    "VOC, one pixel": grey(15 * HARD + 255 * ring(HARD, 1)),
    "VOC, colours": with_palette(
        HARD + 255 * ring(HARD, 2), VOC, at_255=(224, 224, 192)
    ).convert("RGB"),
    "a region": grey(4 * HARD + 255 * SECOND),
    "16 bits": grey(4 * HARD + 65535 * SECOND, np.uint16),
    "negative": grey(4 * HARD.astype(int) - 1 * SECOND, np.int32),
}


@pytest.mark.parametrize("case", VOIDS)
def test_void_pixels_are_background_with_a_note(tmp_path, case):
    labels, notes = read_labels(
        saved(tmp_path, VOIDS[case], "tif" if case == "negative" else "png")
    )
    np.testing.assert_array_equal(labels > 0, HARD)
    assert "not labelled" in notes[0]


@pytest.mark.parametrize(
    "levels",
    [
        [255],
        [128, 255],
        [85, 170, 255],
        [100, 255],
        [7, 30, 222, 255],
        list(range(1, 256)),
    ],
    ids=lambda levels: f"{len(levels)}_{levels[0]}",
)
def test_255_among_other_levels_is_an_object(tmp_path, levels):
    labels = np.zeros((64, 64), np.uint8)
    for number, level in enumerate(levels):
        labels[number // 16 * 4 : number // 16 * 4 + 3, number % 16 * 4 :][:, :3] = (
            level
        )
    found, notes = read_labels(saved(tmp_path, grey(labels)))
    assert len(np.unique(found)) == len(levels) + 1 and not notes


def cells(number: int, step: int, side: int, rng, order) -> np.ndarray:
    """A label map of squares that touch, in rows."""
    labels = np.zeros((number // 20 * side + 9, 20 * side + 9), np.int32)
    names = order(np.arange(1, number + 1) * step)
    for place, label in enumerate(names):
        y, x = divmod(place, 20)
        labels[y * side : (y + 1) * side, x * side : (x + 1) * side] = label
    return labels


@pytest.mark.parametrize("order", ["as they lie", "mixed"])
@pytest.mark.parametrize("side", [3, 4, 9])
@pytest.mark.parametrize(
    ("number", "step"), [(240, 1), (1000, 1), (1000, 60), (100, 2)]
)
def test_crowded_label_maps_are_accepted(tmp_path, number, step, side, order, rng):
    labels = cells(
        number, step, side, rng, rng.permutation if order == "mixed" else list
    )
    dtype = np.uint8 if number * step < 256 else np.uint16
    found, _ = read_labels(saved(tmp_path, grey(labels, dtype)))
    np.testing.assert_array_equal(found, labels)


def test_specks_of_some_pixels_are_objects(tmp_path):
    labels = np.zeros((60, 60), np.uint8)
    labels[::3, ::3] = np.arange(1, 401).reshape(20, 20) % 240 + 1
    found, _ = read_labels(saved(tmp_path, grey(labels)))
    np.testing.assert_array_equal(found, labels)


NONE = {
    "two objects, smoothed": (
        grey(255 * HARD + 128 * SECOND).resize((60, 50), Image.Resampling.BILINEAR),
        "png",
        "thin seams",
    ),
    "twelve labels, smoothed": (
        grey(
            np.repeat(np.repeat(np.arange(12).reshape(3, 4) * 21, 33, 0), 30, 1)
        ).resize((400, 330), Image.Resampling.BICUBIC),
        "png",
        "thin seams",
    ),
    "labels as JPEG": (
        grey(255 * HARD + 128 * SECOND),
        "jpg",
        "Save label maps as PNG",
    ),
    "few labels as JPEG": (
        grey(HARD + 2 * SECOND),
        "jpg",
        "which of them are objects is lost",
    ),
    "colours as JPEG": (
        Image.fromarray(
            np.dstack([255 * HARD, 255 * SECOND, 0 * HARD]).astype(np.uint8)
        ),
        "jpg",
        "Save label maps as PNG",
    ),
    "nothing as JPEG": (Image.new("L", (60, 40), 3), "jpg", None),
    "CMYK": (disc(1).convert("CMYK"), "tif", "got the colours of CMYK"),
    "fractions below 0": (
        grey(HARD / 2 - 0.25, np.float32),
        "tif",
        "fractions in -0.25",
    ),
    "NaN": (grey(np.where(HARD, np.nan, 0), np.float32), "tif", "NaN"),
}


@pytest.mark.parametrize("case", NONE)
def test_a_file_that_is_not_a_mask_gives_the_reason(tmp_path, case):
    image, kind, words = NONE[case]
    path = saved(tmp_path, image, kind)
    if words is None:
        assert read_labels(path).labels.max() <= 1
        return
    with pytest.raises(ValueError, match=rf"leaf\.{kind}: .*{words}"):
        read_labels(path)


def test_a_colour_photo_is_neither_a_label_map_nor_an_object(tmp_path, rng):
    noise = rng.integers(0, 256, (20, 20, 3), np.uint8)
    photo = Image.fromarray(noise).resize((200, 200), Image.Resampling.BICUBIC)
    for kind in ("png", "jpg"):
        path = saved(tmp_path, photo, kind)
        for read in (read_labels, read_object):
            with pytest.raises(ValueError, match=r"colours"):
                read(path)


def test_a_file_of_one_object_is_no_label_map(tmp_path):
    path = saved(tmp_path, grey(1 * HARD + 2 * SECOND))
    with pytest.raises(ValueError, match="3 levels, expected one object"):
        read_object(path)
    # A map of probabilities has an object, wherever its edge is.
    y, x = np.mgrid[:100, :120]
    chance = np.exp(-(((y - 50) / 40) ** 2) - ((x - 60) / 40) ** 2)
    labels, _ = read_object(saved(tmp_path, grey(255 * chance)))
    assert 2 * labels.sum() > (2 * chance > chance.max()).sum()


@pytest.mark.parametrize("level", [0, 1, 255])
@pytest.mark.parametrize("read", [read_labels, read_object])
def test_a_mask_of_a_single_level_is_noted(tmp_path, level, read):
    labels, notes = read(saved(tmp_path, Image.new("L", (30, 20), level)))
    assert (labels == min(level, 1)).all()
    assert ("no object" if level == 0 else "the whole image") in notes[0]


def test_a_file_of_several_pages_is_noted(tmp_path):
    path = tmp_path / "leaf.tif"
    disc(1).save(path, save_all=True, append_images=[Image.new("L", SIZE[::-1])])
    labels, notes = read_labels(path)
    np.testing.assert_array_equal(labels > 0, HARD)
    assert notes == ("has several pages, of which the first is read",)


def test_smooth_edges_and_labels_are_distinguished_at_every_size(tmp_path, rng):
    for _ in range(30):
        side = int(rng.integers(20, 120))
        low = rng.random((5, 5)) > 0.6
        large = np.kron(low, np.ones((side, side), bool))
        image = grey(255 * large)
        small = image.resize((side * 3, side * 3), Image.Resampling.BILINEAR)
        soft = small.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 3))))
        found, _ = read_labels(saved(tmp_path, soft))
        assert len(np.unique(found)) <= 2
        numbers = np.kron(low * np.arange(1, 26).reshape(5, 5), np.ones((side, side)))
        found, _ = read_labels(saved(tmp_path, grey(numbers)))
        np.testing.assert_array_equal(found, numbers)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("bound", [100 * 120 - 1, 10])
def test_a_mask_above_the_bound_is_refused(tmp_path, monkeypatch, bound):
    path = saved(tmp_path, disc(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
    with pytest.raises(ValueError, match="pixels"):
        read_labels(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(40), b"%!PS"])
def test_a_file_that_is_not_an_image_is_a_value_error(tmp_path, content):
    (tmp_path / "leaf.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"leaf\.png: cannot be read as a mask"):
        read_labels(tmp_path / "leaf.png")
    with pytest.raises(ValueError, match="No such file"):
        read_labels(tmp_path / "none.png")
