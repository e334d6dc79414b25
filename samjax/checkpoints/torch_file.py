"""Reads the files that `torch.save` and `torch.jit.save` write, without torch.

Since PyTorch 1.6 a file is a zip archive whose entries are stored, not compressed:

    NAME/data.pkl      the object; tensors are references to storages
    NAME/data/0, 1..   one storage each, the raw data
    NAME/byteorder     "little" or "big" (older files: little)

so that a tensor is a range of the file, which is memory-mapped. A TorchScript archive has
the code of its modules beside it (NAME/code, compressed), which is never opened; its
object is the tree of modules, whose tensors are found under their names. Before 1.6 a file was a
sequence of pickles followed by the storages; those are read too.

Everything in the file is untrusted: names, sizes, offsets and the pickle are checked
against the file before any of it is used, and no entry is ever decompressed. CRCs of
entries are compared when their bytes are read.
"""

import io
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import DTYPES, MappedFile, StoredTensor
from samjax.checkpoints.state_dict import Groups, nested
from samjax.checkpoints.torch_pickle import read_pickle, shorten
from samjax.checkpoints.torch_records import StorageRecord, TensorRecord
from samjax.checkpoints.zip_directory import data_start, read_directory


def read_torch_file(path: Path) -> Groups:
    """Finds all tensors in a file of `torch.save` or `torch.jit.save`.

    Args:
        path: A `.pth`, `.pt` or `.bin` file, of any PyTorch.

    Returns:
        The tensors of every dict, at any depth; only the directory has been read.

    Raises:
        CheckpointError: If the file is truncated, not of this format, holds anything
            but tensors, containers and plain data, or claims more than it has.
    """
    file = MappedFile(path)
    try:
        if file.buffer[:4] == b"PK\x03\x04":
            content, locate = _read_archive(file)
        else:
            content, locate = _read_legacy(file)
        return _groups(content, locate)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} is not a PyTorch file that samjax can read.",
            error.problems or [str(error)],
        ) from error


Locate = Callable[[StorageRecord], dict[str, Any]]
"""Locates a storage: returns the fields of a `StoredTensor` that depend on it."""


def _groups(content: Any, locate: Locate) -> Groups:
    """Converts the records in nested containers to tensors."""
    groups: Groups = {}
    records = nested(content, TensorRecord) if isinstance(content, CONTAINERS) else ()
    for keys, name, record in records:
        group = groups.setdefault(keys, {})
        try:
            group[name] = _tensor(record, locate)
        except CheckpointError as error:
            group[name] = error
    if not groups:
        shown = shorten(content)
        if isinstance(content, dict):
            names = ", ".join(map(shorten, list(content)[:20]))
            shown = f"a dict of {names or 'nothing'}"
        raise CheckpointError(
            f"expected a state dict, or a dict that has one in it; got {shown}"
        )
    return groups


def _tensor(record: TensorRecord, locate: Locate) -> StoredTensor:
    fields = locate(record.storage)
    start, stop = fields["storage"]
    size = DTYPES[record.storage.dtype].itemsize
    if record.storage.view is not None:
        _, first, count = record.storage.view
        start, stop = start + first * size, min(stop, start + (first + count) * size)
        fields["storage"] = start, stop
    return StoredTensor(
        dtype=record.storage.dtype,
        shape=record.shape,
        strides=record.strides,
        start=start + record.offset * size,
        **fields,
    )


def _read_archive(file: MappedFile) -> tuple[Any, Locate]:
    """Reads the zip form."""
    records = _check_members(file)
    if "data.pkl" not in records:
        raise CheckpointError("the archive has no data.pkl where PyTorch puts it")
    start, stop, _ = records["data.pkl"]
    if stop - start > MAX_PICKLE:
        raise CheckpointError(f"its data.pkl of {stop - start} bytes is too large")
    for name in ("data.pkl", "byteorder"):
        first, last, crc = records.get(name, (0, 0, None))
        if crc is not None and crc != file.crc(first, last):
            raise CheckpointError(
                f"its {name} contradicts the checksum beside it: the file is damaged; "
                "get it again"
            )
    content = read_pickle(io.BytesIO(file.buffer[start:stop]))
    start, stop, _ = records.get("byteorder", (0, 0, None))
    order = file.buffer[start : min(stop, start + 16)].strip() or b"little"
    if order not in (b"little", b"big"):
        raise CheckpointError(f"its byte order is {order!r}, expected little or big")

    def locate(storage: StorageRecord) -> dict[str, Any]:
        record = records.get(f"data/{storage.key}")
        if record is None:
            raise CheckpointError(f"the archive has no data/{shorten(storage.key)}")
        start, stop, crc = record
        size = storage.count * DTYPES[storage.dtype].itemsize
        if size != stop - start:
            raise CheckpointError(
                f"data/{shorten(storage.key)} has {stop - start} bytes, expected {size}"
            )
        return {
            "file": file,
            "storage": (start, stop),
            "big_endian": order == b"big",
            "crc": crc,
        }

    return content, locate


Record = tuple[int, int, int | None]
"""First byte of an entry's data, the byte after its last, and its CRC-32."""


def _check_members(file: MappedFile) -> dict[str, Record]:
    """Maps record names, without the archive's folder, to their bytes in the file."""
    members, directory = read_directory(file)
    if not any(member.name.endswith(b"data.pkl") for member in members):
        raise CheckpointError(
            f"the archive has no data.pkl, but {_shown(members[0].name)}: a zip archive "
            "of other files has to be unpacked first"
        )
    problems, spans = [], []
    records: dict[str, Record] = {}
    folder = members[0].name.split(b"/")[0] + b"/"
    for member in members:
        name = member.name
        if not name.startswith(folder) or b".." in name.split(b"/") or b"\\" in name:
            problems.append(f"entry {_shown(name)} lies outside of {_shown(folder)}")
            continue
        if not member.is_stored and name.startswith(folder + b"code/"):
            # The source of a TorchScript module, which is never opened.
            continue
        if not member.is_stored:
            problems.append(
                f"entry {_shown(name)} is compressed or encrypted; PyTorch stores "
                "entries as they are, so something packed the file again: unpack that"
            )
            continue
        start = data_start(file, member)
        stop = start + member.size
        key = name[len(folder) :].decode("utf-8", "backslashreplace")
        if member.packed != member.size or not 0 < start <= stop:
            problems.append(f"entry {_shown(name)} has contradictory sizes")
        elif stop > directory:
            problems.append(f"entry {_shown(name)} is larger than the file")
        elif key in records:
            problems.append(f"entry {_shown(name)} is there twice")
        else:
            # PyTorch has an option that leaves checksums out, and then writes zeros.
            records[key] = start, stop, member.crc or None
            spans.append((member.offset, stop, name))
    spans.sort()
    for (_, stop, first), (start, _, second) in itertools.pairwise(spans):
        if start < stop:
            problems.append(f"entries {_shown(first)} and {_shown(second)} overlap")
    if problems:
        raise CheckpointError("", problems)
    return records


def _shown(name: bytes) -> str:
    return shorten(name.decode("utf-8", "backslashreplace"))


def _read_legacy(file: MappedFile) -> tuple[Any, Locate]:
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
    tensors = nested(content, TensorRecord) if isinstance(content, CONTAINERS) else ()
    kinds = {record.storage.key: record.storage for _, _, record in tensors}
    spans: dict[str, tuple[int, int]] = {}
    position = head.tell()
    for key in keys if isinstance(keys, list) else []:
        prefix = file.buffer[position : position + 8]
        if len(prefix) < 8:
            raise CheckpointError("the file is cut off; get it again")
        (count,) = struct.unpack("<q", prefix)
        # A storage that no tensor uses has an unknown element size, so that those
        # after it cannot be located.
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

    def locate(storage: StorageRecord) -> dict[str, Any]:
        if storage.key not in spans:
            raise CheckpointError(f"there is no storage {shorten(storage.key)}")
        return {"file": file, "storage": spans[storage.key], "big_endian": not little}

    return content, locate


CONTAINERS = (dict, list, tuple)
# The pickle of a ViT-H with optimizer state has 0.3 MB.
MAX_PICKLE = 4 * 2**20
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
