"""`samjax segment PHOTO...`: masks from points, boxes, rough masks and texts."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from samjax.cli.arguments import (
    DEFAULT_MODEL,
    DEFAULT_TEXT_MODEL,
    bound_pixels,
    parse,
)
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder
from samjax.cli.photos import find_photos
from samjax.cli.progress import counted, show_steps
from samjax.cli.prompts import GivenPrompt, Grouping, PromptOptions, read_prompts

if TYPE_CHECKING:
    import numpy as np

    from samjax.inference import Masks, Predictor


@dataclass(frozen=True, kw_only=True)
class Segment(PromptOptions):
    """Finds the masks of objects in photos, from points, boxes, rough masks and texts.

    All coordinates are pixels of the photo, x to the right and y down. Every --box is a
    prompt, every --mask and every --text is one, and all --point together are one;
    --group changes that. Every prompt is applied to every photo.

    For PHOTO.jpg and prompt N, counted points first, then boxes, masks, texts, the folder
    gets PHOTO_N_mask_M.png, white on the object, the best mask first, and
    PHOTO_N_overlay.png, the best mask and the prompt over the photo; for the photo,
    PHOTO.json with all masks as COCO run lengths, in the fields of SA-1B's annotations.
    """

    photos: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="PHOTO...")
    ]
    """Photos, or folders of photos."""

    group: Grouping = "kind"
    """Forms one prompt of all points (kind), of each point (each), or of everything (one)."""

    multimask: Literal["auto", "yes", "no"] = "auto"
    """Three masks for each prompt, or one; auto: three for a single ambiguous prompt."""

    model: str | None = None
    """small, small_text, tiny, vit_b, vit_l, vit_h, or a file or folder of weights.
    Default: small, or small_text where there is a --text."""

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
    """Segments photo after photo and prints the files that were written.

    Raises:
        ValueError: An argument cannot be used, or no photo.
        OSError: A file cannot be read or written.
    """
    options = parse(Segment, "samjax segment", arguments)
    bound_pixels(options.max_pixels)
    prompts = read_prompts(options, options.group)
    photos = find_photos(options.photos)
    from samjax.cli.results import check_results

    inputs = [*photos, *options.mask]
    for photo in photos:
        # Before the work. The number of masks of a prompt is not known yet.
        counts = [1] * len(prompts)
        check_results(options.out, photo, counts, inputs, overwrite=options.overwrite)
    make_folder(options.out)
    model = options.model or (DEFAULT_TEXT_MODEL if options.text else DEFAULT_MODEL)
    predictor = load_predictor(model, options.dtype)
    for given in prompts:
        # Refused before the work where the model has no text, or no such word.
        if given.prompt.text is not None:
            predictor.embed_text(given.prompt.text)
    multimask = {"auto": None, "yes": True, "no": False}[options.multimask]
    skipped = 0
    for photo in show_steps("segmenting", photos, "photos"):
        try:
            image = _read(photo)
            predictions = _predict(predictor, photo, image, prompts, multimask)
        except (ValueError, OSError) as error:
            if len(photos) == 1:
                raise
            # A photo that is damaged, or of another size than a mask prompt, does not
            # end the run: the others are segmented.
            skipped += 1
            print(f"samjax: skipped {photo}: {error}", file=sys.stderr)
            continue
        _write(photo, image, prompts, predictions, options, model, inputs)
    if skipped == len(photos):
        raise ValueError("nothing is segmented: no photo could be used")


def _read(photo: Path) -> "np.ndarray":
    from samjax.inference import read_image

    return read_image(photo)


def _predict(
    predictor: "Predictor",
    photo: Path,
    image: "np.ndarray",
    prompts: list[GivenPrompt],
    multimask: bool | None,
) -> list["Masks"]:
    """Predicts the masks of each prompt, best first, and prints the time that it took.

    Raises:
        ValueError: A mask prompt does not fit the photo.
    """
    import jax

    height, width, _ = image.shape
    start = time.perf_counter()
    embedding = predictor.embed(image)
    jax.block_until_ready(embedding.features)
    embedded = time.perf_counter()
    (predictions,) = predictor.predict_batch(
        [embedding], [[given.prompt for given in prompts]], multimask=multimask
    )
    predictions = [masks.best_first() for masks in predictions]
    done = time.perf_counter()
    count = counted(len(prompts), "prompt")
    print(
        f"{photo}: {width} x {height}, embedded in {embedded - start:.2f} s, "
        f"masks of {count} in {done - embedded:.2f} s"
    )
    return predictions


def _write(
    photo: Path,
    image: "np.ndarray",
    prompts: list[GivenPrompt],
    predictions: list["Masks"],
    options: Segment,
    model: str,
    inputs: list[Path],
) -> None:
    """Writes the results of a photo and prints their scores and files."""
    from samjax.cli.results import write_results

    written = write_results(
        options.out,
        photo,
        image,
        prompts,
        predictions,
        model=model,
        inputs=inputs,
        overwrite=options.overwrite,
    )
    for given, masks, overlay in zip(
        prompts, predictions, written.overlays, strict=True
    ):
        scores = " ".join(f"{score:.2f}" for score in masks.scores)
        print(f"  {given.words}: score {scores}: {overlay}")
    print(f"  records: {written.records}")
    height, width, _ = image.shape
    _note_points_outside(photo, width, height, prompts)


def _note_points_outside(
    photo: Path, width: int, height: int, prompts: list[GivenPrompt]
) -> None:
    """Prints a note for every point outside of the photo: allowed, but often a mistake."""
    for given in prompts:
        for x, y in given.prompt.points:
            if not (0 <= x < width and 0 <= y < height):
                print(
                    f"samjax: note: the point {x:g},{y:g} is outside {photo}, "
                    f"which is {width} x {height}",
                    file=sys.stderr,
                )
