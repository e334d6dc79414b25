"""`samjax data label`: pseudo-labels of photos for training."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL
from samjax.cli.everything import Options
from samjax.cli.everything_progress import Tally, show_done
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder
from samjax.cli.progress import show_progress
from samjax.engine.pseudo_labels import EVERYTHING, PseudoLabelConfig

_USUAL = PseudoLabelConfig()


def _usual_options() -> Options:  # pyright: ignore[reportInvalidTypeForm]
    fields = (field.name for field in dataclasses.fields(Options))
    return Options(**{name: getattr(EVERYTHING, name) for name in fields})


@dataclass(frozen=True, kw_only=True)
class Label:
    """Generates masks of unlabelled photos with a model, as labels for training.

    Everything mode runs on each photo, on its mirror image and on the photo at other
    scales. A mask becomes a label if every view has a similar one. The labels are written
    to one COCO file. A run that was stopped resumes when the same command is given again;
    photos that were added since are labelled too, the others not again.
    """

    photos: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PHOTOS")]
    """A folder of photos; or a COCO file, or a folder with one, whose images without
    masks are labelled."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The COCO file of the labels."""

    model: str = DEFAULT_MODEL
    """small, tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype."""

    mirror: bool = _USUAL.mirror
    """Whether the mirror image is a view."""

    scales: tuple[float, ...] = _USUAL.scales
    """Further views: factors on the size that the photo usually has for the model; may be
    empty."""

    agreement: float = _USUAL.agreement
    """Least IoU of a mask with a mask of another view."""

    least_views: int | None = _USUAL.least_views
    """Least number of other views with such a mask; all by default."""

    smallest: float = _USUAL.smallest
    """Least area of a label, as a fraction of the photo."""

    options: Annotated[
        Options,  # pyright: ignore[reportInvalidTypeForm]
        tyro.conf.arg(name=""),
    ] = dataclasses.field(default_factory=_usual_options)
    """Options of everything mode."""

    exclude_licences: tuple[str, ...] = ()
    """Licences of a COCO file, by number or name, whose photos are left out."""

    labelled_too: bool = False
    """Labels also those photos of a COCO file that have masks."""

    in_flight: int = 2
    """Photos in progress at a time on each device."""


def label(wanted: Label) -> None:
    """Labels the photos and prints the file that was written.

    Raises:
        UsageError: The output is a folder.
    """
    from samjax.engine import label_photos, open_photos

    config = PseudoLabelConfig(
        everything=dataclasses.replace(
            EVERYTHING, **dataclasses.asdict(wanted.options)
        ),
        mirror=wanted.mirror,
        scales=wanted.scales,
        agreement=wanted.agreement,
        least_views=wanted.least_views,
        smallest=wanted.smallest,
    )
    if wanted.out.is_dir():
        raise UsageError(f"--out {wanted.out}: expected a file, this is a folder")
    photos = open_photos(
        wanted.photos,
        exclude_licences=wanted.exclude_licences,
        labelled_too=wanted.labelled_too,
    )
    for problem in photos.problems[:_SHOWN]:
        print(f"samjax: left out: {problem}", file=sys.stderr)
    if len(photos.problems) > _SHOWN:
        print(f"samjax: and {len(photos.problems) - _SHOWN} more", file=sys.stderr)
    make_folder(wanted.out.parent)
    predictor = load_predictor(wanted.model, wanted.dtype)
    tally = Tally()
    with show_progress(
        "label", len(photos.photos), seconds_between_lines=_SECONDS_BETWEEN_LINES
    ) as display:
        for done in label_photos(
            predictor, photos, wanted.out, config, in_flight=wanted.in_flight
        ):
            tally.add(done)
            show_done(display, done, tally)
    print(f"{tally.in_words()}: {wanted.out}")
    if tally.made and not tally.masks:
        print(
            "samjax: note: no mask is kept: lower --agreement, --pred-iou-thresh or "
            "--stability-score-thresh",
            file=sys.stderr,
        )


_SHOWN = 10
_SECONDS_BETWEEN_LINES = 60.0
