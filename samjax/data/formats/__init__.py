"""Files of masks, written and read: SA-1B's, COCO's, YOLO's, label maps.

Every reader gives `samjax.data.schema.Record`s, one image at a time, and every writer
takes them, so that any format turns into any other:

    write_coco("masks.json", (record for _, record in read_folder("sa1b")))

What is the same in all of them:

- A writer holds one image's masks at a time. What it writes is whole or not there, and
  equal records give equal bytes.
- A record's `file_name` becomes part of paths, so it must be a plain name: no folder,
  nothing hidden. Writers refuse others. Only COCO's files may have folders in it, none
  of which leads upwards.
- Readers check what they read. A file, member, line or annotation that cannot be used
  is a `ValueError` that names it. It stops the reader, unless the caller passes
  `problems`: then that is called with the error, the part is left out, and reading goes
  on.
- A mask's box and area are computed from its pixels wherever a format's own may be of
  another convention; fields that a format does not have get the values of
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
