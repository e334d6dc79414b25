"""The report page: counts, no external content, and no injection by file names."""

import base64
import functools
import html.parser
import io
import os
import re
import urllib.parse
import weakref
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samjax.report import ImageSummary, render_report
from samjax.report.histograms import Tally, histogram

VOID = {"meta", "img", "br"}
MASKS = ("mask", "masks")


def summary(count: int = 3, **changes) -> ImageSummary:
    """An image of 100 x 200 pixels and `count` masks, each a quarter of it."""
    parts = {
        "name": "photo.jpg",
        "size": (100, 200),
        "areas": np.full(count, 5000),
        "predicted_iou": np.full(count, 0.9, np.float32),
        "stability": np.full(count, 0.95, np.float32),
    }
    return ImageSummary(**parts | changes)


def rich_summary(name: str = "photo.jpg", label: str = "JSON") -> ImageSummary:
    picture = np.full((30, 60, 3), 90, np.uint8)
    links = {label: "records/photo.json"}
    return summary(name=name, thumbnail=picture, links=links)


class Page(html.parser.HTMLParser):
    """A page taken apart; fails on tags that do not match."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[tuple[str, int]] = []
        self.tags: list[tuple] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, len(self.texts)))
            self.texts.append((tag, ""))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            tag, place = self.open[-1]
            self.texts[place] = tag, self.texts[place][1] + data

    def structure(self) -> list[tuple]:
        return [(tag, sorted(attributes)) for tag, attributes in self.tags]

    def values(self, attribute: str) -> list[str]:
        return [
            attributes[attribute]
            for _, attributes in self.tags
            if attribute in attributes
        ]


def bins(svg: str) -> list[tuple[float, float, int]]:
    """(low, high, count) of every bin, as its title says it."""
    found = []
    for title in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title"):
        match = re.fullmatch(r"(\S+?)(?: to (\S+))?: (\S+) masks?", title.text or "")
        assert match, title.text
        low, high, count = (
            part and float(part.replace(",", "")) for part in match.groups()
        )
        found.append((low, low if high is None else high, int(count)))
    return found


def tallied(numbers, **options) -> Tally:
    tally = Tally(**options)
    tally.add(np.array(numbers))
    return tally


def drawn_bins(numbers, **options) -> list[tuple[float, float, int]]:
    tally = tallied(numbers, **options)
    return bins(histogram(tally, label="x", counted=MASKS))


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([1.0, 0.1, 0.01]))
def test_bins_hold_the_numbers_of_their_titles(thousandths, scale):
    numbers = np.round(np.array(thousandths) / 1000 * scale, 6)
    found = drawn_bins(numbers)
    assert sum(count for _, _, count in found) == len(numbers)
    assert 10 <= len(found) <= 30
    for low, high, count in found:
        inside = (numbers > low - 1e-9) & (numbers < high - 1e-9)
        assert count == (inside | ((high == 1.0) & (numbers == 1.0))).sum()
    assert found[0][0] >= 0 and found[-1][1] <= 1


@given(st.lists(st.integers(0, 3000), min_size=1))
def test_bins_of_integers_hold_the_numbers_of_their_titles(numbers):
    found = drawn_bins(numbers, whole_numbers=True)
    assert sum(count for _, _, count in found) == len(numbers)
    assert 10 <= len(found) <= 30
    for low, high, count in found:
        assert count == sum(low <= number <= high for number in numbers)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1), st.booleans())
def test_any_numbers_give_a_histogram(numbers, whole):
    svg = histogram(tallied(numbers, whole_numbers=whole), label="x", counted=MASKS)
    ElementTree.fromstring(svg)
    assert "nan" not in svg


def test_float32_numbers_are_counted_in_the_cell_of_their_decimal():
    found = drawn_bins(np.full(4, 0.95, np.float32))
    assert [low for low, _, count in found if count] == [0.95]
    nearly_one = np.nextafter(np.float32(1), np.float32(0))
    found = drawn_bins(np.array([nearly_one, 1.0], np.float32))
    assert found[-1][1:] == (1.0, 2)


def test_bars_are_as_high_as_their_counts():
    svg = histogram(tallied([0.2] * 8 + [0.4] * 4 + [0.6]), label="x", counted=MASKS)
    rects = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    heights = [float(r.get("height")) for r in rects if r.get("class") == "bar"]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[0] == pytest.approx(8 * heights[2], abs=0.5)


def test_a_bar_of_integers_is_centred_on_its_number():
    svg = histogram(tallied([7], whole_numbers=True), label="x", counted=MASKS)
    root = ElementTree.fromstring(svg)
    bar = next(e for e in root.iter() if e.get("class") == "bar")
    tick = next(e for e in root.iter() if e.text == "8")
    other = next(e for e in root.iter() if e.text == "6")
    middle = (float(tick.get("x")) + float(other.get("x"))) / 2
    centre = float(bar.get("x")) + float(bar.get("width")) / 2
    assert centre == pytest.approx(middle, abs=0.2)


@given(st.lists(st.integers(0, 100), min_size=1))
def test_the_median_is_that_of_the_numbers(numbers):
    middle = sorted(numbers)[(len(numbers) - 1) // 2]
    assert tallied(numbers, whole_numbers=True).median == middle
    assert tallied(np.array(numbers) / 100).median == pytest.approx(
        middle / 100, abs=2e-4
    )


@pytest.mark.parametrize(
    "images",
    [[], [summary(0)], [summary(1)], [summary(50)], [rich_summary(), summary(4)]],
    ids=["none", "no masks", "one mask", "equal masks", "pictures"],
)
def test_every_run_has_a_page_that_needs_nothing_else(images):
    skipped = {"a.jpg": "broken"}
    text = render_report("Run", {"Model": "tiny"}, images, skipped)
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    assert all(
        source.startswith("data:image/jpeg;base64,") for source in page.values("src")
    )
    assert all(address.startswith("./") for address in page.values("href"))
    assert not re.search(r"url\(|@import|\bnan\b", text)
    assert "default-src 'none'" in text
    again = render_report("Run", {"Model": "tiny"}, images, skipped)
    assert again == text


def test_masks_are_counted_over_all_images():
    text = render_report("Run", {}, [summary(3), summary(5), summary(0)], {})
    assert "8 masks in 3 images" in text
    sizes, ious, stabilities, _ = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    # A mask of a quarter of the image has half its side.
    for svg, place in ((sizes, 0.5), (ious, 0.9), (stabilities, 0.95)):
        assert [(low, count) for low, _, count in bins(svg) if count] == [(place, 8)]
    for count in (0, 3, 5):
        assert f"<title>{count}: 1 image<" in text


def test_depths_are_counted_where_they_are_known():
    known = summary(7, depths=np.array([0, 0, 1, 2, 3, 9, 0]))
    assert "3 wholes, 1 part, 1 subpart, 2 deeper" in render_report("", {}, [known], {})
    partly = render_report("", {}, [known, summary(2)], {})
    assert "9 masks in 2 images; of 7 of them, 3 wholes" in partly
    assert "wholes" not in render_report("", {}, [summary(2)], {})


def test_only_shown_images_have_pictures_and_these_are_small():
    picture = np.zeros((700, 1400, 3), np.uint8)
    picture[:, :700] = (200, 30, 30)
    images = [
        summary(name=f"{i}.png", thumbnail=picture, shown=i in (0, 3)) for i in range(5)
    ]
    text = render_report("Run", {}, images, {})
    sources = Page(text).values("src")
    assert len(sources) == 2
    data = base64.b64decode(sources[0].split(",")[1])
    shown = np.array(Image.open(io.BytesIO(data)))
    assert shown.shape == (240, 480, 3)
    assert np.abs(shown[120, 100].astype(int) - (200, 30, 30)).max() < 8
    assert "2 of 5 images; 3 more not shown" in text
    assert "3.png" in text and "1.png" not in text


def test_only_one_picture_is_held_at_a_time():
    pictures = []

    def images():
        for _ in range(4):
            picture = np.zeros((8, 8, 3), np.uint8)
            pictures.append(weakref.ref(picture))
            yield summary(thumbnail=picture)
            del picture
            assert pictures[-1]() is None

    render_report("Run", {}, images(), {})
    assert len(pictures) == 4


def test_facts_may_be_filled_while_images_are_read():
    facts, skipped = {}, {}

    def images():
        yield summary()
        skipped["odd.tif"] = "five channels"
        facts["Seconds"] = "12.5"

    text = render_report("Run", facts, images(), skipped)
    assert "five channels" in text and "12.5" in text


@functools.cache
def plain_structure() -> list[tuple]:
    images = [rich_summary("n", "k")]
    return Page(render_report("t", {"l": "f"}, images, {"s": "r"})).structure()


@given(st.text(max_size=20), st.sampled_from(["", "<script>x</script>", "\"'>&lt;"]))
def test_names_of_files_cannot_inject_html(text, trap):
    text = text.replace("\r", "") + trap
    page = Page(
        render_report(text, {text: text}, [rich_summary(text, text)], {text: text})
    )
    assert page.structure() == plain_structure()
    assert page.values("alt") == [text]
    shown = [said for tag, said in page.texts if tag in ("h1", "dd", "th", "td", "a")]
    assert shown == [text] * 5


ODD_NAMES = [
    "a b?.json",
    "c#d%41.json",
    "javascript:alert(1)",
    "x/\udcff.json",
    "é\ud800",
]


@pytest.mark.parametrize("path", ODD_NAMES)
def test_links_to_files_are_followed_and_dangling_ones_skipped(path):
    image = summary(name=path, links={"JSON": path})
    text = render_report("Run", {}, [image], {path: path})
    text.encode("utf-8")
    (address,) = Page(text).values("href")
    whole = urllib.parse.urlsplit(urllib.parse.urljoin("file:///out/a.html", address))
    assert whole.scheme == "file" and not whole.query and not whole.fragment
    if "\ud800" not in path:
        found = urllib.parse.unquote_to_bytes(whole.path)
        assert found == b"/out/" + os.fsencode(path)


def test_records_are_summarized():
    annotation = {"area": 5000, "predicted_iou": 0.9, "stability_score": 0.95}
    image = {"image_id": 1, "width": 200, "height": 100, "file_name": "a.jpg"}
    record = {"image": image, "annotations": [annotation] * 3}
    of_record = ImageSummary.of_record(record, links={"JSON": "a.json"})
    expected = summary(
        name="a.jpg",
        links={"JSON": "a.json"},
        predicted_iou=np.full(3, 0.9),
        stability=np.full(3, 0.95),
    )
    pages = [render_report("", {}, [each], {}) for each in (of_record, expected)]
    assert pages[0] == pages[1]
    renamed = ImageSummary.of_record(record | {"annotations": []}, name="sub/a.jpg")
    assert renamed.name == "sub/a.jpg" and len(renamed.areas) == 0
    with pytest.raises(ValueError, match="too large"):
        ImageSummary.of_record(
            record | {"annotations": [annotation | {"area": 10**400}]}
        )
    with pytest.raises(ValueError, match="size"):
        ImageSummary.of_record(record | {"image": image | {"height": 0}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (0, 5)}, r"'photo.jpg': size \(0, 5\)"),
        ({"areas": np.array([1, 2, 20001])}, "areas from 1 to 20001"),
        ({"areas": np.array([1, 2, -3])}, "areas from -3 to 2"),
        ({"stability": np.ones(2)}, r"stability of shape \(2,\): expected \(3,\)"),
        ({"predicted_iou": np.array([1, np.nan, 1])}, "predicted_iou: expected finite"),
        ({"depths": np.array([0, -1, 1])}, "depths: expected 0 for a whole"),
        ({"thumbnail": np.zeros((0, 4, 3), np.uint8)}, "thumbnail of"),
        ({"links": {"JSON": "../secret"}}, r"link '\.\./secret'"),
        ({"links": {"JSON": "//host/file"}}, "link '//host/file'"),
        ({"links": {"JSON": ""}}, "link ''"),
    ],
)
def test_mistakes_are_reported(changes, message):
    with pytest.raises(ValueError, match=message):
        summary(**changes)


def test_a_number_too_large_for_a_float_is_an_error():
    with pytest.raises(ValueError, match="expected finite"):
        render_report("Run", {}, [summary(1, stability=np.array([1e306]))], {})
