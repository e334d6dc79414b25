"""Sets of interactive segmentation, and HQSeg-44K's: benchmarks beyond SAM's paper."""

from __future__ import annotations

from samjax.evaluation.datasets.layouts import mask_files
from samjax.evaluation.datasets.published import PublishedSet

_RITM = "https://github.com/SamsungLabs/ritm_interactive_segmentation"
_HQ = "https://github.com/SysCV/sam-hq"
_HQ_NOTE = "HQ-SAM resizes photos to a square: --resize square, --boundary"

BENCHMARKS: dict[str, PublishedSet] = {
    "grabcut": PublishedSet(
        title="GrabCut",
        page=_RITM,
        licence="research",
        split="all 50",
        objects="the mask of a photo",
        quirks="a level of 128 is unknown truth, which no score counts",
        read=mask_files.read_grabcut,
    ),
    "berkeley": PublishedSet(
        title="Berkeley",
        page=_RITM,
        licence="photos non-commercial research",
        split="all 100",
        objects="a mask file",
        quirks="two photos have three masks, whose names end in a letter",
        read=mask_files.read_berkeley,
    ),
    "davis": PublishedSet(
        title="DAVIS",
        page=_RITM,
        licence="research, non-commercial",
        split="RITM's 345 frames",
        objects="the mask of a frame",
        read=mask_files.read_any_level,
    ),
    "sbd": PublishedSet(
        title="SBD",
        page="http://home.bharathh.info/pubs/codes/SBD/download.html",
        licence="photos by their authors' terms",
        split="val",
        objects="an instance",
        quirks="instances are in MATLAB's files",
        read=mask_files.read_sbd,
    ),
    "coco-mval": PublishedSet(
        title="COCO_MVal",
        page=_RITM,
        licence="annotations CC BY 4.0; photos by their authors' terms",
        split="RITM's 800 photos",
        objects="the mask of a photo",
        read=mask_files.read_any_level,
    ),
    "dis-vd": PublishedSet(
        title="DIS-VD",
        page=_HQ,
        licence="DIS5K's terms of use",
        split="DIS-VD, 470 photos",
        objects="the mask of a photo",
        quirks=_HQ_NOTE,
        read=mask_files.read_dis,
    ),
    "coift": PublishedSet(
        title="COIFT",
        page=_HQ,
        licence="not checked",
        split="all 280",
        objects="the mask of a photo",
        quirks=_HQ_NOTE,
        read=mask_files.read_coift,
    ),
    "hrsod": PublishedSet(
        title="HRSOD",
        page=_HQ,
        licence="not checked",
        split="the 287 of HQSeg-44K",
        objects="the mask of a photo",
        quirks=_HQ_NOTE,
        read=mask_files.read_hrsod,
    ),
    "thinobject5k": PublishedSet(
        title="ThinObject5K",
        page=_HQ,
        licence="not checked",
        split="test, 500 photos",
        objects="the mask of a photo",
        quirks=_HQ_NOTE,
        read=mask_files.read_thin_objects,
    ),
}
"""The sets by their names on the command line."""
