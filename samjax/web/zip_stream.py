"""A zip archive, streamed while it is written."""

import io
import zipfile
from collections.abc import Iterable, Iterator

# A fixed time (the epoch of zip files), so that equal content gives equal archives.
_TIME = (1980, 1, 1, 0, 0, 0)


def zip_chunks(members: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """Yields an archive in chunks, so that no member is in memory as a whole.

    Args:
        members: Name and content of each member.

    Yields:
        The bytes of the archive.
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
    """Buffers written bytes until they are taken. Unseekable, as `zipfile` permits."""

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
