"""A zip archive, sent while it is made."""

import io
import zipfile
from collections.abc import Iterable, Iterator

# The epoch of zip files: equal content gives equal archives.
_TIME = (1980, 1, 1, 0, 0, 0)


def zip_chunks(members: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """Makes an archive of members, of which memory holds a chunk at a time.

    Args:
        members: Name and content of each, in their order.

    Yields:
        Its bytes.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as member:
                for chunk in content:
                    member.write(chunk)
                    yield from sink.take()
            yield from sink.take()
    yield from sink.take()


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken. It cannot seek, which zip allows for."""

    def __init__(self):
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data, /) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def take(self) -> Iterator[bytes]:
        chunks, self._chunks = self._chunks, []
        if chunks:
            yield b"".join(chunks)
