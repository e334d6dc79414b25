"""Names that leave their folder are refused, and all others accepted."""

from pathlib import Path

import pytest
from data.formats.small_records import HOSTILE_NAMES, record
from hypothesis import given
from hypothesis import strategies as st

from samjax.data.formats.guards import (
    check_file_name,
    check_size,
    read_bounded,
    record_stem,
)


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, None, 3, ["a.jpg"]])
def test_a_name_that_is_not_plain_is_refused(name):
    with pytest.raises(ValueError, match="image 5: got the file name"):
        check_file_name(name, "image 5")


@pytest.mark.parametrize(
    "name", ["a.jpg", "ä ö.JPG", "写真\u30001.png", "12:30:05.jpg", "a..b.jpg", "a"]
)
def test_a_plain_name_of_any_alphabet_is_accepted(name):
    assert check_file_name(name, "") == name


@given(st.text(max_size=12))
def test_accepted_names_stay_in_their_folder(name):
    try:
        check_file_name(name, "")
    except ValueError:
        return
    folder = Path("somewhere")
    assert (folder / name).parent == folder
    assert (folder / name).name == name


def test_a_stem_lacks_only_the_last_suffix():
    assert record_stem(record([], file_name="a.b.jpg")) == "a.b"


@pytest.mark.parametrize(
    "size", [(0, 1), (-1, 5), (1.5, 2), (True, 2), (None, 2), (1 << 16, 1 << 16)]
)
def test_sizes_of_no_image_are_refused(size):
    with pytest.raises(ValueError, match="image 3: got height"):
        check_size(*size, "image 3")


def test_a_file_over_its_limit_is_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_bounded(path, 4)
