"""`samjax evaluate [MODEL]`: runs an evaluation suite on a model and reports the scores."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import (
    DEFAULT_MODEL,
    DEFAULT_TEXT_MODEL,
    parse,
    parse_share,
    value_of,
)
from samjax.cli.evaluated_segmenters import (
    Named,
    SegmenterName,
    named_segmenter,
    parse_segmenter,
)
from samjax.cli.evaluation_files import out_file, save_comparison
from samjax.cli.evaluation_run import Outcome, Place, run_segmenter
from samjax.data.share import Share
from samjax.evaluation.segmenters import image_size_of
from samjax.evaluation.suites import (
    DEFAULT_SUITE,
    SUITES,
    OptionError,
    SuiteOptions,
    suite_options,
)

if TYPE_CHECKING:
    from samjax.evaluation.suite import Suite


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluates a model by a suite: on sets of photos, or on held-out drawn scenes.

    The suite single-point follows SAM's section 7.1: a click at the centre of each
    object, then at the centre of the largest error; mean IoU at some numbers of clicks,
    and from a box. `oracle` takes the best of the three masks by its true IoU.
    The suite edges scores edge maps on sets such as BSDS500 (ODS, OIS, AP, R50);
    fairness, clothing and geography compare groups; probe looks at the nearest
    neighbours of mask embeddings; statistics and audit look at masks without a model.
    proposals everything mode by AR@1000 (section 7.3); instances masks of boxes by COCO's
    or LVIS's AP (section 7.4).
    `--suite NAME --help` lists the options of another suite.
    """

    named: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="MODEL")
    ] = None
    """small (the default; small_text for the suite text), tiny, vit_b, vit_l, vit_h, or a
    file or folder of weights."""

    model: str | None = None
    """The same as MODEL."""

    suite: Annotated[str, tyro.conf.arg(metavar="|".join(SUITES))] = DEFAULT_SUITE
    """The suite."""

    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")] = ()
    """Datasets with masks: COCO files or folders with annotations.json, folders with
    images/ and masks/, MedSAM's .npz files; without any, drawn scenes."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the computation."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """A JSON file for the scores and for every object's IoUs; with --data, where it has
    no suffix .json, a folder for result.json. Beside it a report, .html, and the records
    of all objects and images, .objects.jsonl and .images.jsonl."""

    segmenter: SegmenterName = "samjax"
    """The model or method in place of a model of samjax, with --data.

    reference: segment_anything, with a .pth file as MODEL; transformers: a SamModel, with
    its folder as MODEL; grabcut: OpenCV's GrabCut from the box; canny, sobel: edge
    detectors of OpenCV, for --suite edges; recorded: predictions that --record wrote;
    saved: predictions of files that the suite names."""

    against: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="SEGMENTER[:MODEL] [...]")
    ] = ()
    """Further segmenters, on the same images, such as tiny, grabcut or
    reference:FILE.pth; the differences are given with intervals."""

    record: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """A file for all predictions, prompt by prompt, which --segmenter recorded with the
    file as MODEL scores again without the model."""

    share: str = "0/1"
    """INDEX/COUNT: this process's part of an evaluation that several share, with the same
    --out. Its records are kept there, and --merge makes the result of all."""

    merge: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR [DIR ...]")] = ()
    """Folders of --out of all shares: the result is made of their records, and nothing is
    measured. The other options are those of the shares."""

    embeddings: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A folder that keeps image embeddings of samjax's models for later evaluations, some
    4 MB an image."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces a file at --out that is no result of an evaluation."""

    pictures: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Shows the worst, median and best cases in the report as pictures. They are photos
    of the data: look at them before you publish the report, they may show people."""

    options: SuiteOptions


def run(arguments: list[str]) -> None:
    """Evaluates, prints the scores and writes them to `--out`.

    Raises:
        UsageError: The suite is unknown, or options do not go together.
    """
    name = value_of("--suite", arguments) or DEFAULT_SUITE
    if name not in SUITES:
        raise UsageError(
            f"--suite {name}: invalid choice, expected one of {', '.join(SUITES)}"
        )
    wanted = parse(_with_options(suite_options(name)), "samjax evaluate", arguments)
    if wanted.named and wanted.model and wanted.named != wanted.model:
        raise UsageError(
            f"{wanted.named}, --model {wanted.model}: expected one model, by either"
        )
    try:
        wanted.options.check(wanted.data, wanted.segmenter)
    except OptionError as error:
        raise UsageError(str(error)) from error
    share = _share(wanted)
    weights = wanted.model or wanted.named
    if weights is None and wanted.options.needs_text and wanted.segmenter == "samjax":
        weights = DEFAULT_TEXT_MODEL
    named = named_segmenter(wanted.segmenter, weights)
    segmenters = [named, *_others(wanted, named)]
    _check_embeddings(wanted, segmenters)
    suite = wanted.options.make(wanted.data, _image_size(wanted, named))
    _check_kept(wanted, suite)
    out = out_file(wanted, suite)
    outcomes: dict[str, Outcome] = {}
    for other in segmenters:
        place = Place(out, wanted.merge, wanted.record)
        if other is not named:
            print(f"\n{other.label}:")
            place = _place_of(other, place)
        outcome = run_segmenter(wanted, suite, other, place, share)
        if outcome is not None:
            outcomes[other.label] = outcome
    if len(outcomes) > 1:
        save_comparison(wanted, suite, outcomes, out)


def _place_of(other: Named, first: Place) -> Place:
    """Returns the place of a segmenter of --against: folders of its name."""
    out = None if first.out is None else first.out.parent / other.label / first.out.name
    return Place(out, [folder / other.label for folder in first.shares])


def _share(wanted: Evaluate) -> Share:
    """Returns the images to measure, for options that go together."""
    share = Share(*parse_share(wanted.share))
    if share.count > 1 and wanted.out is None:
        raise UsageError(
            f"--share {wanted.share}: name a folder for its records with --out"
        )
    if share.count > 1 and wanted.merge:
        raise UsageError("--share and --merge: expected one of the two")
    if (share.count > 1 or wanted.merge) and wanted.record is not None:
        raise UsageError("--record is for evaluations by one process: leave it out")
    if wanted.out is None and (names := wanted.options.for_files):
        raise UsageError(f"{names[0]}: name a folder for the files with --out")
    return share


def _check_kept(wanted: Evaluate, suite: "Suite") -> None:
    """Checks that the records of images are kept, where shares are wanted."""
    for name in ("share", "merge"):
        if suite.scores_only and getattr(wanted, name) not in ("0/1", ()):
            raise UsageError(f"--{name} is for photos: name sets of them with --data")


def _check_embeddings(wanted: Evaluate, segmenters: Sequence[Named]) -> None:
    """Checks that there is a model whose embeddings can be kept."""
    if wanted.embeddings is None:
        return
    if not any(named.name == "samjax" for named in segmenters):
        raise UsageError(
            "--embeddings is for models of samjax: leave it out, or see --record"
        )


def _others(wanted: Evaluate, first: Named) -> list[Named]:
    """Returns the segmenters of --against, each of another name."""
    others = [parse_segmenter(text) for text in wanted.against]
    labels = [first.label, *(other.label for other in others)]
    if len(set(labels)) < len(labels):
        raise UsageError(f"--against: got {', '.join(labels)}, expected different ones")
    for other in others:
        try:
            wanted.options.check(wanted.data, other.name)
        except OptionError as error:
            raise UsageError(f"--against {other.label}: {error}") from error
    if others and not wanted.data:
        raise UsageError("--against is for photos: name sets of them with --data")
    return others


def _with_options(kind: type[SuiteOptions]) -> type[Evaluate]:
    """Returns the command line with the options of a suite beside the common ones."""
    options = Annotated[kind, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff]
    return dataclasses.make_dataclass(
        "Evaluate",
        [("options", options)],
        bases=(Evaluate,),
        namespace={"__doc__": Evaluate.__doc__},
        frozen=True,
        kw_only=True,
    )


def _image_size(wanted: Evaluate, named: Named) -> int | None:
    """Returns the model's input size, of which only the weights' shapes are read."""
    if not wanted.options.needs_model:
        return None
    if named.name != "samjax":
        return image_size_of(named.name, named.weights)
    from samjax.training.launch import sizes_of

    return sizes_of(named.weights or DEFAULT_MODEL).image_size
