"""Reads the files that `torch.save` writes, without torch.

Since PyTorch 1.6 a file is a zip archive whose entries are stored, not compressed:

    NAME/data.pkl      the object; tensors are references to storages
    NAME/data/0, 1..   one storage each, the bare numbers
    NAME/byteorder     "little" or "big" (older files: little)

so a tensor is a place in the file, and reading is mapping. Before 1.6 a file was a row
of pickles followed by the storages; those are read too.

Everything in the file is untrusted: names, sizes, offsets and the pickle are checked
against the file before any of it is used, and nothing is ever unpacked.
"""

import io
import itertools
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import DTYPES, MappedFile, StoredTensor
from samjax.checkpoints.torch_pickle import (
    StorageRecord,
    TensorRecord,
    read_pickle,
    shorten,
)


def read_torch_file(path: Path) -> dict[str, StoredTensor]:
    """Finds the state dict in a file of `torch.save`.

    The file may be the state dict itself, or a dict that holds it under one of
    `WRAPPERS` (at most three deep), as training loops write it beside their optimizer.

    Args:
        path: A `.pth`, `.pt` or `.bin` file, of any PyTorch.

    Returns:
        Name to tensor; nothing has been read from the disk but the directory.

    Raises:
        CheckpointError: If the file is truncated, not of this format, holds anything
            but tensors and containers, or claims more than it has.
    """
    file = MappedFile(path)
    try:
        if file.buffer[:4] == b"PK\x03\x04":
            content, place = _read_archive(file)
        else:
            content, place = _read_legacy(file)
        return _state_dict(content, place, limit=MAX_EXPANSION * file.size)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} is not a PyTorch file that samjax can read.",
            error.problems or [str(error)],
        ) from error


Place = Callable[[StorageRecord], tuple[MappedFile, int, int, bool]]


def _state_dict(content: Any, place: Place, limit: int) -> dict[str, StoredTensor]:
    """Turns the records of the state dict into tensors; collects what is wrong."""
    tensors: dict[str, StoredTensor] = {}
    problems = []
    for name, value in _unwrap(content).items():
        if not isinstance(value, TensorRecord):
            problems.append(f"{shorten(name)} is no tensor but {shorten(value)}")
            continue
        try:
            tensors[str(name)] = _locate(value, place)
        except CheckpointError as error:
            problems.append(f"{shorten(name)}: {error}")
    # Many tensors may share a storage; a hostile file could share one without end.
    total = sum(tensor.nbytes for tensor in tensors.values())
    if total > limit:
        problems.append(
            f"its tensors take {total} bytes, more than {MAX_EXPANSION} times the file"
        )
    if problems:
        raise CheckpointError("", problems)
    return tensors


def _unwrap(content: Any) -> dict:
    for _ in range(3):
        inner = content if isinstance(content, dict) else {}
        inner = next(
            (inner[w] for w in WRAPPERS if isinstance(inner.get(w), dict)), None
        )
        if inner is None:
            break
        content = inner
    found = shorten(content)
    if isinstance(content, dict):
        if any(isinstance(value, TensorRecord) for value in content.values()):
            return content
        found = f"a dict of {', '.join(map(shorten, list(content)[:20])) or 'nothing'}"
    raise CheckpointError(
        f"expected a state dict, or a dict that has one under {' or '.join(WRAPPERS)}; "
        f"got {found}"
    )


def _locate(record: TensorRecord, place: Place) -> StoredTensor:
    file, start, stop, big_endian = place(record.storage)
    size = DTYPES[record.storage.dtype].itemsize
    if record.storage.view is not None:
        _, first, count = record.storage.view
        start, stop = start + first * size, min(stop, start + (first + count) * size)
    return StoredTensor(
        file=file,
        dtype=record.storage.dtype,
        shape=record.shape,
        strides=record.strides,
        start=start + record.offset * size,
        storage=(start, stop),
        big_endian=big_endian,
    )


def _read_archive(file: MappedFile) -> tuple[Any, Place]:
    """Reads the zip form."""
    with open(file.path, "rb") as raw:
        try:
            archive = zipfile.ZipFile(raw)
            members = archive.infolist()
            directory = archive.start_dir
        except ZIP_ERRORS as error:
            raise CheckpointError(
                f"{error}: the file is damaged or cut off; get it again"
            ) from error
    records = _check_members(file, members, directory)
    if "data.pkl" not in records:
        raise CheckpointError("the archive has no data.pkl")
    start, stop = records["data.pkl"]
    if stop - start > MAX_PICKLE:
        raise CheckpointError(f"its data.pkl of {stop - start} bytes is too large")
    content = read_pickle(io.BytesIO(file.buffer[start:stop]))
    start, stop = records.get("byteorder", (0, 0))
    order = file.buffer[start : min(stop, start + 16)].strip() or b"little"
    if order not in (b"little", b"big"):
        raise CheckpointError(f"its byte order is {order!r}, expected little or big")

    def place(storage: StorageRecord) -> tuple[MappedFile, int, int, bool]:
        span = records.get(f"data/{storage.key}")
        if span is None:
            raise CheckpointError(f"the archive has no data/{shorten(storage.key)}")
        size = storage.count * DTYPES[storage.dtype].itemsize
        if size != span[1] - span[0]:
            raise CheckpointError(
                f"data/{storage.key} has {span[1] - span[0]} bytes, expected {size}"
            )
        return file, *span, order == b"big"

    return content, place


def _check_members(
    file: MappedFile, members: list[zipfile.ZipInfo], directory: int
) -> dict[str, tuple[int, int]]:
    """Maps record names, without the archive's folder, to their bytes in the file."""
    if not 0 < len(members) <= MAX_MEMBERS:
        raise CheckpointError(f"the archive has {len(members)} entries")
    problems, spans, records = [], [], {}
    folder = members[0].filename.split("/")[0] + "/"
    for member in members:
        name = member.filename
        parts = name.split("/")
        if not name.startswith(folder) or ".." in parts or "\\" in name:
            problems.append(f"entry {shorten(name)} lies outside of {shorten(folder)}")
            continue
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x1:
            problems.append(
                f"entry {shorten(name)} is compressed or encrypted; PyTorch stores "
                "entries as they are, so something packed the file again: unpack that"
            )
            continue
        start = _data_start(file, member)
        stop = start + member.file_size
        if member.compress_size != member.file_size or not 0 < start <= stop:
            problems.append(f"entry {shorten(name)} has contradictory sizes")
        elif stop > directory:
            problems.append(f"entry {shorten(name)} is larger than the file")
        elif name[len(folder) :] in records:
            problems.append(f"entry {shorten(name)} is there twice")
        else:
            records[name[len(folder) :]] = start, stop
            spans.append((member.header_offset, stop, name))
    spans.sort()
    for (_, stop, first), (start, _, second) in itertools.pairwise(spans):
        if start < stop:
            problems.append(f"entries {shorten(first)} and {shorten(second)} overlap")
    if problems:
        raise CheckpointError("", problems)
    return records


def _data_start(file: MappedFile, member: zipfile.ZipInfo) -> int:
    """First byte of an entry's data; 0 if its local header is not one."""
    # The directory's copy of the header leaves out the padding that aligns the data.
    offset = member.header_offset
    header = file.buffer[max(offset, 0) : offset + LOCAL_HEADER.size]
    if offset < 0 or len(header) < LOCAL_HEADER.size:
        return 0
    signature, method, name_size, extra_size = LOCAL_HEADER.unpack(header)
    start = offset + LOCAL_HEADER.size
    name = file.buffer[start : start + name_size]
    utf8 = member.flag_bits & 0x800
    if signature != b"PK\x03\x04" or method != zipfile.ZIP_STORED:
        return 0
    if name != member.orig_filename.encode("utf-8" if utf8 else "cp437"):
        return 0
    return start + name_size + extra_size


def _read_legacy(file: MappedFile) -> tuple[Any, Place]:
    """Reads the form before PyTorch 1.6: five pickles, then the storages."""
    head = io.BytesIO(file.buffer[:MAX_PICKLE])
    try:
        if read_pickle(head) != LEGACY_MAGIC or read_pickle(head) != 1001:
            raise CheckpointError("")
        system = read_pickle(head)
    except CheckpointError as error:
        raise CheckpointError(
            "it starts neither as a zip archive nor as an old PyTorch file; save it "
            "with PyTorch: torch.save(state_dict, 'weights.pth')"
        ) from error
    content = read_pickle(head)
    keys = read_pickle(head)
    records = list(_storages(content))
    kinds = {record.key: record for record in records}
    spans: dict[str, tuple[int, int]] = {}
    position = head.tell()
    for key in keys if isinstance(keys, list) else []:
        prefix = file.buffer[position : position + 8]
        if len(prefix) < 8:
            raise CheckpointError("the file is cut off; get it again")
        (count,) = struct.unpack("<q", prefix)
        # A storage that no tensor uses has an unknown element size: nothing behind
        # it can be found.
        if not isinstance(key, str) or key not in kinds:
            raise CheckpointError(f"storage {shorten(key)} belongs to no tensor")
        start = position + 8
        position = start + count * DTYPES[kinds[key].dtype].itemsize
        if count != kinds[key].count or position > file.size:
            raise CheckpointError(
                f"storage {shorten(key)} has {count} elements, expected "
                f"{kinds[key].count}, in a file of {file.size} bytes: it is damaged or "
                "cut off; get it again"
            )
        spans[key] = start, position
    little = not isinstance(system, dict) or system.get("little_endian", True)

    def place(storage: StorageRecord) -> tuple[MappedFile, int, int, bool]:
        if storage.key not in spans:
            raise CheckpointError(f"there is no storage {shorten(storage.key)}")
        return file, *spans[storage.key], not little

    return content, place


def _storages(content: Any):
    """All storages of nested containers, each container once."""
    pending, seen = [content], set()
    while pending:
        value = pending.pop()
        if isinstance(value, TensorRecord):
            yield value.storage
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            pending.extend(value.values() if isinstance(value, dict) else value)


# Keys under which training loops keep a state dict, in the order they are tried.
WRAPPERS = ("model", "state_dict", "model_state_dict")
# The pickle of a ViT-H with optimizer state has 0.3 MB.
MAX_PICKLE = 4 * 2**20
MAX_MEMBERS = 100_000
# Bytes of all tensors over bytes of the file.
MAX_EXPANSION = 4
ZIP_ERRORS = zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LOCAL_HEADER = struct.Struct("<4s4xH16xHH")
