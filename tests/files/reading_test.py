"""Files are read at offsets with and without the system's own function for it."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from samjax.files import open_binary, read_at


@pytest.mark.parametrize("has_pread", [True, False])
def test_bytes_at_offsets_are_those_of_the_file(tmp_path, monkeypatch, has_pread):
    content = bytes(range(256)) * 16 + b"\r\n\x1a"
    (tmp_path / "a").write_bytes(content)
    if not has_pread:
        monkeypatch.delattr(os, "pread")
    file = open_binary(tmp_path / "a")
    places = [(size, at) for size in (0, 1, 300) for at in (0, 7, 4000, 4098, 5000)]
    try:
        with ThreadPoolExecutor(4) as threads:
            read = list(threads.map(lambda place: read_at(file, *place), places * 20))
    finally:
        os.close(file)
    assert read == [content[at : at + size] for size, at in places] * 20
