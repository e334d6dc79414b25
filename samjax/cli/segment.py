"""`samjax segment PHOTO...`: masks from points, boxes and rough masks."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from samjax.cli.arguments import DEFAULT_MODEL, bound_pixels, parse
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder
from samjax.cli.photos import find_photos, read_mask
from samjax.cli.progress import show_steps
from samjax.cli.requests import Grouping, Request, read_requests

if TYPE_CHECKING:
    import numpy as np

    from samjax.inference import Predictor, Prompt


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Finds the masks of objects in photos, from points, boxes and rough masks.

    All coordinates are pixels of the photo, x to the right and y down. Every --box is a
    prompt, every --mask is one, and all --point together are one; --group changes
    that. Every prompt is applied to every photo.

    For PHOTO.jpg and prompt N, counted points first, then boxes, then masks, the folder
    gets PHOTO_N_mask_M.png, white on the object, the best mask first, and
    PHOTO_N_overlay.png, the best mask and the prompt over the photo; for the photo,
    PHOTO.json with all masks as COCO run lengths, in the fields of SA-1B's annotations.
    """

    photos: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="PHOTO...")
    ]
    """Photos, or folders of photos."""

    point: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="X,Y[,0|1]"),
    ] = ()
    """A point on the object; beside it with a third number of 0."""

    box: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="X0,Y0,X1,Y1"),
    ] = ()
    """A box around an object: its left, top, right and bottom."""

    mask: Annotated[
        tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")
    ] = ()
    """A rough mask: an image of the photo's size, black where the object is not."""

    group: Grouping = "kind"
    """Forms one prompt of all points (kind), of each point (each), or of everything (one)."""

    multimask: Literal["auto", "yes", "no"] = "auto"
    """Three masks for each prompt, or one; auto: three for a single ambiguous prompt."""

    model: str = DEFAULT_MODEL
    """small, tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype."""

    out: Path = Path("samjax_out")
    """Folder of the results; made if it does not exist."""

    max_pixels: int | None = None
    """Most pixels of an image that is read whole, 0 for no bound. Default:
    $SAMJAX_MAX_PIXELS, or about 89 million, a guard against decompression bombs."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files of these names that samjax did not write."""


def run(arguments: list[str]) -> None:
    """Segments photo after photo and prints the files that were written."""
    wanted = parse(Segment, "samjax segment", arguments)
    bound_pixels(wanted.max_pixels)
    requests = read_requests(wanted.point, wanted.box, wanted.mask, wanted.group)
    photos = find_photos(wanted.photos)
    for file in wanted.mask:
        read_mask(file)
    from samjax.cli.results import check_results

    inputs = [*photos, *wanted.mask]
    for photo in photos:
        # Before the work. The number of masks of a prompt is not known yet.
        counts = [1] * len(requests)
        check_results(wanted.out, photo, counts, inputs, overwrite=wanted.overwrite)
    make_folder(wanted.out)
    predictor = load_predictor(wanted.model, wanted.dtype)
    skipped = 0
    for photo in show_steps("segmenting", photos, "photos"):
        try:
            image = _read(photo)
        except (ValueError, OSError) as error:
            if len(photos) == 1:
                raise
            # A damaged photo does not end the run: the others are segmented.
            skipped += 1
            print(f"samjax: skipped {photo}: {error}", file=sys.stderr)
            continue
        _segment(predictor, photo, image, requests, wanted, inputs)
    if skipped == len(photos):
        raise ValueError("nothing is segmented: no photo could be read")


def _read(photo: Path) -> "np.ndarray":
    from samjax.inference import read_image

    return read_image(photo)


def _segment(
    predictor: "Predictor",
    photo: Path,
    image: "np.ndarray",
    requests: list[Request],
    wanted: Segment,
    inputs: list[Path],
) -> None:
    import jax

    from samjax.cli.results import write_results

    height, width, _ = image.shape
    prompts = [_make_prompt(request) for request in requests]
    start = time.perf_counter()
    embedding = predictor.embed(image)
    jax.block_until_ready(embedding.features)
    embedded = time.perf_counter()
    multimask = {"auto": None, "yes": True, "no": False}[wanted.multimask]
    (answers,) = predictor.predict_batch([embedding], [prompts], multimask=multimask)
    answers = [masks.best_first() for masks in answers]
    done = time.perf_counter()
    print(
        f"{photo}: {width} x {height}, embedded in {embedded - start:.2f} s, "
        f"masks of {len(prompts)} prompts in {done - embedded:.2f} s"
    )
    written = write_results(
        wanted.out,
        photo,
        image,
        requests,
        answers,
        model=wanted.model,
        inputs=inputs,
        overwrite=wanted.overwrite,
    )
    for request, masks, overlay in zip(
        requests, answers, written.overlays, strict=True
    ):
        scores = " ".join(f"{score:.2f}" for score in masks.scores)
        print(f"  {_in_words(request)}: score {scores}: {overlay}")
    print(f"  records: {written.records}")
    _note_points_outside(photo, width, height, requests)


def _make_prompt(request: Request) -> "Prompt":
    from samjax.inference import Prompt

    return Prompt(
        points=[list(point) for point in request.points],
        labels=list(request.labels),
        box=None if request.box is None else list(request.box),
        mask=None if request.mask is None else read_mask(request.mask),
    )


def _in_words(request: Request) -> str:
    marks = {1: "", 0: " (beside)"}
    words = [
        f"point {x:g},{y:g}{marks[label]}"
        for (x, y), label in zip(request.points, request.labels, strict=True)
    ]
    if request.box is not None:
        words.append("box " + ",".join(f"{side:g}" for side in request.box))
    if request.mask is not None:
        words.append(f"mask {request.mask}")
    return " + ".join(words)


def _note_points_outside(
    photo: Path, width: int, height: int, requests: list[Request]
) -> None:
    """Prints a note for every point outside of the photo: allowed, but often a mistake."""
    for request in requests:
        for x, y in request.points:
            if not (0 <= x < width and 0 <= y < height):
                print(
                    f"samjax: note: the point {x:g},{y:g} is outside {photo}, "
                    f"which is {width} x {height}",
                    file=sys.stderr,
                )
