"""Readers and writers of mask files: SA-1B, COCO, YOLO, label maps.

Every reader yields `samjax.data.schema.Record`s, one image at a time, and every writer
takes them, so that any format can be converted to any other:

    write_coco("masks.json", (record for _, record in read_folder("sa1b")))

Common to all formats:

- A writer holds the masks of one image at a time. Its files are replaced atomically,
  and equal records give equal bytes.
- A record's `file_name` becomes part of paths, so it must be a plain name, without
  folders and not hidden. Writers reject others. Only COCO files may have folders in it,
  and none that lead upwards.
- Readers validate their input. A file, member, line or annotation that cannot be used
  is a `ValueError` that names it. It stops the reader, unless the caller passes
  `problems`: then that is called with the error, the part is left out, and reading
  continues.
- A mask's box and area are computed from its pixels if a format's own may follow
  another convention; fields that a format lacks get the values of
  `annotations.make_annotation`.
"""

from samjax.data.formats.coco import read_coco, write_coco
from samjax.data.formats.label_map import (
    label_map_to_masks,
    label_map_to_record,
    read_label_map,
    record_to_label_map,
    write_label_map,
)
from samjax.data.formats.sa1b import (
    read_folder,
    read_shard,
    write_record,
    write_shard,
)
from samjax.data.formats.yolo import read_yolo, write_yolo

__all__ = [
    "label_map_to_masks",
    "label_map_to_record",
    "read_coco",
    "read_folder",
    "read_label_map",
    "read_shard",
    "read_yolo",
    "record_to_label_map",
    "write_coco",
    "write_label_map",
    "write_record",
    "write_shard",
    "write_yolo",
]
