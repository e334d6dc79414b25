"""Tars with false headers cost no more time and memory than their length."""

import time

import pytest

from samjax.data.images import find_images
from samjax.data.sa1b.index import load_index


def header(name: bytes, size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    """A header with any content, its checksum right."""
    head = bytearray(512)
    head[: len(name)] = name
    head[100:108] = b"0000644\0"
    head[124:136] = size
    head[156:157] = kind
    head[257:265] = b"ustar  \0"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def octal(number: int) -> bytes:
    return b"%011o\0" % number


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


GOOD = header(b"a.jpg", octal(3)) + padded(b"jpg")
LONG = b"d/" * 125_000 + b"x.jpg"

# What follows a good image; members found, and words of the damage, if it is any.
HOSTILE = {
    "negative size": (
        header(b"b.jpg", (256**12 - 512).to_bytes(12, "big")),
        1,
        "damaged header",
    ),
    "huge size": (header(b"b.jpg", b"\x80" + b"\x7f" * 11), 1, "cut off within"),
    "signed size": (header(b"b.jpg", b"-0000000512\0"), 1, "damaged header"),
    "long name": (
        header(b"././@LongLink", octal(len(LONG)), b"L")
        + padded(LONG)
        + header(b"y.jpg")
        + b"".join(header(b"%d.jpg" % n) for n in range(1000))
        + bytes(1024),
        1001,
        None,
    ),
    "chain of long names": (
        (header(b"././@LongLink", octal(4), b"L") + padded(b"name")) * 2000,
        1,
        "too many headers",
    ),
    "chain of pax headers": (header(b"x", kind=b"x") * 2000, 1, "too many headers"),
    "chain of global headers": (header(b"x", kind=b"g") * 2000, 1, "too many headers"),
    "many pax lines": (
        header(b"x", octal(10**6), b"x")
        + padded(b"5 a=\n" * 200_000)
        + header(b"b.jpg")
        + bytes(1024),
        2,
        None,
    ),
    "pax number of many digits": (
        header(b"x", octal(9000), b"x")
        + padded(b"9" * 9000)
        + header(b"b.jpg")
        + bytes(1024),
        2,
        None,
    ),
    "pax size of many digits": (
        header(b"x", octal(5012), b"x")
        + padded(b"5012 size=" + b"9" * 5001 + b"\n")
        + header(b"b.jpg")
        + bytes(1024),
        2,
        None,
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_sizes_in_headers_are_checked_against_the_length_of_the_tar(tmp_path, case):
    following, images, damage = HOSTILE[case]
    tar = tmp_path / "x.tar"
    tar.write_bytes(GOOD + following)
    start = time.perf_counter()
    index = load_index(tar)
    assert time.perf_counter() - start < 5
    assert len(index.rows) == images
    assert index.rows["name"][0] == b"a"
    assert index.damage is None if damage is None else damage in index.damage
    assert index.long_names == (case == "long name")
    written = tmp_path / "x.tar.samjax-index"
    assert written.stat().st_size < 20 * tar.stat().st_size + 1024


@pytest.mark.parametrize("case", HOSTILE)
def test_everything_mode_reads_a_hostile_tar_as_training_does(tmp_path, case):
    following, images, damage = HOSTILE[case]
    tar = tmp_path / "x.tar"
    tar.write_bytes(GOOD + following)
    try:
        items = find_images([tar])
    except ValueError as error:
        # Names that are the same but for their folder.
        assert "same name" in str(error)
        return
    good = [item for item in items if item.name != "x.tar"]
    assert len(good) == images + (case == "long name")
    if damage is not None:
        with pytest.raises(ValueError, match=damage):
            items[-1].read()
