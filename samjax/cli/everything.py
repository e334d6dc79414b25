"""`samjax everything IMAGES...`: automatic masks of photos, folders, tars, datasets."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import (
    DEFAULT_MODEL,
    DEFAULT_TEXT_MODEL,
    bound_pixels,
    parse,
    parse_share,
)
from samjax.cli.everything_progress import Tally, show_done
from samjax.cli.loading import load_predictor
from samjax.cli.outputs import make_folder
from samjax.cli.progress import show_progress
from samjax.inference.automatic.config import PRESETS, AutomaticConfig

if TYPE_CHECKING:
    from samjax.engine.run import Share
    from samjax.engine.schedule import Generate
    from samjax.inference import Predictor

Format = Literal["coco", "coco-polygons", "yolo", "label-map"]


_MONTH = 30 * 24 * 3600

# Options without a command-line form: arrays, and the form of masks in memory.
_ONLY_IN_PYTHON = {"point_grids", "output_mode"}
# Thresholds that are not given are those of the model, which is loaded later.
_THRESHOLDS = {"pred_iou_thresh", "stability_score_thresh"}


def _options_of_the_command() -> type:
    types = get_type_hints(AutomaticConfig)
    fields = [
        (field.name, types[field.name] | None, dataclasses.field(default=None))
        if field.name in _THRESHOLDS
        else (field.name, types[field.name], dataclasses.field(default=field.default))
        for field in dataclasses.fields(AutomaticConfig)
        if field.name not in _ONLY_IN_PYTHON
    ]
    options = dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)
    options.__doc__ = AutomaticConfig.__doc__
    return options


Options = _options_of_the_command()


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Generates the masks of everything in photos, folders of photos, tars and datasets.

    For PHOTO.jpg the folder gets PHOTO.json, the masks in SA-1B's format, and
    overlays/PHOTO.jpg; at the end report.html, which shows the run. A run that was
    stopped resumes when the same command is given again.
    """

    images: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGES...")
    ]
    """Photos, folders, uncompressed tars, tfds:NAME/SPLIT or tfds:FOLDER:SPLIT."""

    preset: Literal["reference", "paper", "fast", "dense"] = "reference"
    """Preset options: the released generator's defaults, those that SA-1B was made with,
    a quarter of the points, or many points for small objects."""

    options: Annotated[
        Options,  # pyright: ignore[reportInvalidTypeForm]
        tyro.conf.arg(name=""),
    ] = dataclasses.field(default_factory=Options)
    """Single options, which override those of the preset. The default thresholds are
    those of the model: lower ones for small and tiny than for the released models."""

    text: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Keeps the masks of what a text names, and labels them with it; may be repeated."""

    text_threshold: float = 0.5
    """Least score of a mask for its text, 0 to 1."""

    detector: str | None = None
    """Weights of OWLv2, such as google/owlv2-base-patch16-ensemble: each of its boxes of
    a --text becomes a mask, in place of the masks of everything mode."""

    model: str | None = None
    """small, small_text, tiny, vit_b, vit_l, vit_h, or a file or folder of weights.
    Default: small, or small_text where there is a --text and no --detector."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype."""

    out: Path = Path("samjax_out")
    """Folder of the results; made if it does not exist."""

    hierarchy: bool = False
    """Adds to every mask its parent mask and its depth in the hierarchy."""

    also: tyro.conf.UseAppendAction[tuple[Format, ...]] = ()
    """Another format to write at the end, beside SA-1B's; may be repeated."""

    tiles: int | None = None
    """For very large images: side in pixels of the tiles that they are processed in.
    Draws no overlays, and reads TIFF files window by window."""

    shards: int | None = None
    """Writes tars of so many images and their records, as in SA-1B, and no pictures,
    instead of a file for each image."""

    pictures: bool = True
    """Overlays and the report."""

    overwrite: bool = False
    """Replaces files of the results' names that samjax did not write."""

    in_flight: int = 2
    """Images in progress at a time on each device."""

    max_pixels: int | None = None
    """Most pixels of an image that is read whole, 0 for no bound. Default:
    $SAMJAX_MAX_PIXELS, or about 89 million, a guard against decompression bombs."""

    share: str = "0/1"
    """INDEX/COUNT: this process's part of a run that is split by hand."""

    distributed: str | None = None
    """Splits the run among processes: tpu (the hosts of a pod), slurm,
    HOST:PORT,RANK,COUNT (process RANK of COUNT, of which process 0 listens on
    HOST:PORT), or auto, which detects which."""


def run(arguments: list[str]) -> None:
    """Segments all images and prints the files that were written."""
    command = _parse(arguments)
    bound_pixels(command.max_pixels)
    options = _given(command.options)
    # Contradictory options are refused before the model is loaded.
    config = AutomaticConfig(**options)
    share = _share(command)
    from samjax.cli.everything_outputs import Pictures, check_outputs, write_formats
    from samjax.data.images import find_images
    from samjax.engine.run import generate_to_folder

    items = find_images(command.images)
    overwrite = command.overwrite
    with_pictures = command.pictures and not command.shards
    check_outputs(
        command.out,
        items,
        shard_size=command.shards,
        pictures=with_pictures,
        also=command.also,
        overwrite=overwrite,
    )
    make_folder(command.out)
    predictor = load_predictor(_model(command), command.dtype)
    config = dataclasses.replace(config.for_model(predictor.model.config), **options)
    pictures = Pictures(command.out, overwrite=overwrite) if with_pictures else None
    done = generate_to_folder(
        predictor,
        items,
        command.out,
        config,
        hierarchy=command.hierarchy,
        tile_size=command.tiles,
        shard_size=command.shards,
        share=share,
        in_flight=command.in_flight,
        generate=_generate(command, predictor, config) if command.text else None,
        how=_how(command),
        before_record=pictures and pictures.write_overlay,
        overwrite=overwrite,
    )
    tally = Tally()
    with show_progress("everything", -(-len(items) // share.count)) as display:
        for image in done:
            tally.add(image)
            show_done(display, image, tally)
    print(f"{tally.in_words()}: {command.out}")
    _check_any(tally)
    _note_nothing(command, tally)
    if share.count > 1:
        print(
            "when all shares are done, the same command without --share writes the"
            " report and other formats"
        )
        return
    for path in write_formats(command.out, items, command.also, overwrite=overwrite):
        print(f"  {path}")
    if pictures is not None:
        facts = _facts(command, config, tally)
        print(f"  {pictures.write_report(items, tally, facts)}")


def _model(command: Everything) -> str:
    """Returns the model: the default one follows the prompts."""
    has_text = bool(command.text) and command.detector is None
    return command.model or (DEFAULT_TEXT_MODEL if has_text else DEFAULT_MODEL)


def _how(command: Everything) -> dict[str, Any]:
    """Returns what the results of texts depend on, for the settings of the run."""
    if not command.text:
        return {}
    return {
        "texts": list(command.text),
        "text_threshold": command.text_threshold,
        "detector": command.detector,
    }


def _generate(
    command: Everything, predictor: "Predictor", config: AutomaticConfig
) -> "Generate":
    """Returns the function from an image to its masks of the texts.

    Raises:
        ValueError: The model cannot compare images with the texts.
    """
    from samjax.inference.text_masks import check_texts, generate_text_masks

    detector = None
    if command.detector is None:
        # Refused before the work where the model has no text, or no such word.
        check_texts(predictor, command.text)
    else:
        import samjax
        from samjax.inference.detectors import OwlDetector

        detector = OwlDetector(*samjax.load(command.detector))
    config = dataclasses.replace(config, output_mode="coco_rle")
    return lambda predictor, image: generate_text_masks(
        predictor,
        image,
        command.text,
        config,
        threshold=command.text_threshold,
        detector=detector,
    )


def _given(options: Any) -> dict[str, Any]:
    """Returns the options; thresholds only where they were given."""
    return {
        name: value
        for name, value in dataclasses.asdict(options).items()
        if value is not None or name not in _THRESHOLDS
    }


def _parse(arguments: list[str]) -> Everything:
    """Parses twice: the defaults of the other options depend on the preset."""
    command = parse(Everything, "samjax everything", arguments)
    preset = PRESETS[command.preset]
    fields = [field.name for field in dataclasses.fields(Options)]
    start = dataclasses.replace(
        command,
        options=Options(
            **{
                name: None if name in _THRESHOLDS else getattr(preset, name)
                for name in fields
            }
        ),
    )
    command = parse(Everything, "samjax everything", arguments, default=start)
    if command.shards and command.also:
        raise UsageError(
            "--shards and --also: give other formats in a run of their own"
        )
    for name in ("shards", "in_flight", "tiles"):
        value = getattr(command, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} {value}: use at least 1")
    _check_texts(command)
    return command


def _check_texts(command: Everything) -> None:
    if command.detector is not None and not command.text:
        raise UsageError("--detector finds what texts name: give some with --text")
    if not 0 <= command.text_threshold <= 1:
        raise UsageError(f"--text-threshold {command.text_threshold}: use 0 to 1")
    if not command.text:
        return
    if command.tiles is not None:
        raise UsageError("--tiles and --text: give one of the two")
    if command.options.crop_n_layers:
        raise UsageError("--crop-n-layers and --text: give one of the two")


def _share(command: Everything) -> "Share":
    from samjax.engine.run import Share

    if command.distributed is not None:
        import jax

        from samjax.distributed import Bounds, start

        # Shares take different times: the first process to finish waits for the others.
        start(command.distributed, Bounds(leave=_MONTH))
        return Share(jax.process_index(), jax.process_count())
    return Share(*parse_share(command.share))


def _check_any(tally: Tally) -> None:
    """Raises the first problem if no image could be segmented."""
    if tally.problems and not tally.made and not tally.found:
        name, problem = next(iter(tally.problems.items()))
        raise ValueError(f"no image could be segmented; {name}: {problem}")


def _note_nothing(command: Everything, tally: Tally) -> None:
    if tally.made and not tally.masks:
        options = "--pred-iou-thresh and --stability-score-thresh"
        if command.text:
            options = f"--text-threshold, {options}"
        print(
            f"samjax: note: no mask passed the filters: lower {options}",
            file=sys.stderr,
        )


def _facts(
    command: Everything, config: AutomaticConfig, tally: Tally
) -> dict[str, str]:
    """Returns the lines at the head of the report."""
    import samjax

    usual = AutomaticConfig()
    changed = [
        f"{field.name} {getattr(config, field.name)}"
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(usual, field.name)
    ]
    return {
        "model": _model(command),
        **({"texts": ", ".join(command.text)} if command.text else {}),
        "preset": command.preset,
        "options": ", ".join(changed) or "the release's defaults",
        "this run": tally.in_words(),
        "samjax": samjax.__version__,
    }
