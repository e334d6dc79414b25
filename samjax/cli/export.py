"""`samjax export`: models in ONNX and StableHLO, and a static page with a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from samjax.cli import UsageError
from samjax.cli.arguments import DEFAULT_MODEL, DEFAULT_TEXT_MODEL, parse
from samjax.cli.loading import files_of_model, load_predictor

if TYPE_CHECKING:
    from samjax.export.files import Destination
    from samjax.inference import Predictor


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Writes prompt encoder and mask decoder: FILE.onnx, for browsers and onnxruntime,
    or FILE.stablehlo, for JAX on CPU, CUDA and TPU.

    The ONNX file has the inputs and outputs of segment_anything's exported decoder. A
    pair makes a click faster: FILE.prepare.onnx runs once an image, FILE.prompt.onnx once
    a click. A program in StableHLO has its weights beside it, in FILE.safetensors. Before
    anything is written it is compared with the model, and the differences are printed and
    stored in FILE.json.
    """

    model: str = DEFAULT_MODEL
    """small, tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("decoder.onnx")
    """The file to write, NAME.onnx or NAME.stablehlo; an export that exists is replaced."""

    form: Literal["single", "pair"] = "single"
    """One graph for everything, or one for an image and one for a click."""

    storage: Literal["float32", "float16", "int8"] = "float32"
    """Dtype of the stored weights; computation is in float32."""

    best_mask: bool = False
    """Returns one mask and not all: of a lone point the best of three."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files of these names that are no exports of samjax."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Writes the image encoder, from a resized photo to its embedding: FILE.onnx, for
    browsers and onnxruntime, or FILE.stablehlo, for JAX on CPU, CUDA and TPU.

    Before it is written it is compared with the model, and the difference is printed and
    stored in FILE.json. An ONNX file holds at most 2 GB: ViT-H fits as float16. A
    program in StableHLO has its weights beside it, in FILE.safetensors.
    """

    model: str = DEFAULT_MODEL
    """small, tiny, vit_b, vit_l, vit_h, or a file or folder of weights."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("encoder.onnx")
    """The file to write, NAME.onnx or NAME.stablehlo; an export that exists is replaced."""

    storage: Literal["float32", "float16", "int8"] = "float32"
    """Dtype of the stored weights."""

    arithmetic: Literal["float32", "int8"] = "float32"
    """Dtype of the large matrix products of an .onnx file: int8 is faster in a browser,
    and less exact."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files of these names that are no exports of samjax."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """Writes the text tower and the projection to a prompt token: FILE.onnx, for
    browsers and onnxruntime, from token ids to vectors.

    Before it is written it is compared with the model, and the difference is printed and
    stored in FILE.json, which has a vocabulary of whole words too.
    """

    model: str = DEFAULT_TEXT_MODEL
    """small_text, or a file or folder of weights with text."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("text.onnx")
    """The file to write, NAME.onnx; an export that exists is replaced."""

    storage: Literal["float32", "float16", "int8"] = "float32"
    """Dtype of the stored weights; computation is in float32."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files of these names that are no exports of samjax."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Writes a page that segments a visitor's own photos with no server behind it: a
    folder for any static host, with encoder and decoder in it.

    samjax export --demo DIR
    """

    demo: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The folder to write; the files of a demo that is there are replaced, others stay."""

    model: str = DEFAULT_MODEL
    """The encoder runs in the visitor's browser too: a small one."""

    storage: Literal["float32", "float16", "int8"] = "float16"
    """Dtype of the stored weights."""

    arithmetic: Literal["float32", "int8"] = "int8"
    """Dtype of the encoder's large matrix products: int8 takes two thirds of the time.
    The decoder's are float32."""

    photos: tuple[Path, ...] = ()
    """Photos to begin with, instead of the one that samjax brings."""

    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replaces files in the folder that no demo left there as they are."""


def run(arguments: list[str]) -> None:
    """Exports, and prints the files that were written and how they compare."""
    if any(word.partition("=")[0] == "--demo" for word in arguments):
        _export_demo(parse(Demo, "samjax export", arguments))
        return
    wanted: Any = parse(Decoder | Encoder | Text, "samjax export", arguments)
    _check(wanted)
    destination = _destination(wanted)
    if wanted.out.suffix == ".onnx":
        # Imported first: a missing package is reported before the model is loaded.
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

    from samjax.inference.images import SAMPLE_PHOTO, read_image

    predictor = load_predictor(wanted.model, "float32")
    if isinstance(wanted, Text):
        _export_text(wanted, predictor, destination)
        return
    pixels = read_image(SAMPLE_PHOTO)
    embedding = predictor.embed(pixels)
    features = np.asarray(embedding.features)
    if isinstance(wanted, Decoder):
        _export_decoder(wanted, predictor, features, destination)
    else:
        resized = embedding.frame.resize_image(pixels)
        _export_encoder(wanted, predictor, resized, features, destination)


def _export_demo(wanted: Demo) -> None:
    # Imported first: a missing package is reported before the model is loaded.
    import fastapi  # noqa: F401
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401

    from samjax.inference.images import SAMPLE_PHOTO
    from samjax.web.demo import check_place, write_demo

    out = wanted.demo.absolute()
    check_place(out, overwrite=wanted.overwrite)
    for photo in wanted.photos:
        if not photo.is_file():
            raise UsageError(f"there is no photo {photo}")
    predictor = load_predictor(wanted.model, "float32")
    files = write_demo(
        predictor,
        out,
        name=wanted.model,
        samples=wanted.photos or (SAMPLE_PHOTO,),
        storage=wanted.storage,
        arithmetic=wanted.arithmetic,
        say=lambda what: print(f"exporting {what}"),
        overwrite=wanted.overwrite,
    )
    print(f"{wanted.demo}  {len(files)} files, {sum(files.values()) / 1e6:.1f} MB")
    print(f"try it with: python -m http.server --directory {wanted.demo}")


def _check(wanted: Decoder | Encoder | Text) -> None:
    out = wanted.out
    if out.suffix not in (".onnx", ".stablehlo"):
        raise UsageError(
            f"got --out {out}, expected a name that ends in .onnx or .stablehlo"
        )
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent} to write to")
    if out.suffix == ".onnx":
        return
    if isinstance(wanted, Text):
        raise UsageError(f"got --out {out}, expected a name that ends in .onnx")
    if wanted.storage == "int8":
        raise UsageError(
            "got --storage int8 for a .stablehlo file, expected float32 or float16"
        )
    if isinstance(wanted, Encoder) and wanted.arithmetic == "int8":
        raise UsageError(
            "got --arithmetic int8 for a .stablehlo file, which is computed in float32"
        )
    if isinstance(wanted, Decoder) and (wanted.form == "pair" or wanted.best_mask):
        raise UsageError(
            "got --form pair or --best-mask, which .onnx files have: a .stablehlo file"
            " is one program, which returns all masks"
        )


def _destination(wanted: Decoder | Encoder | Text) -> "Destination":
    """Returns which files may be replaced, and checks that before the work."""
    from samjax.export.files import Destination, files_of_export

    destination = Destination(
        overwrite=wanted.overwrite, inputs=files_of_model(wanted.model)
    )
    is_pair = isinstance(wanted, Decoder) and wanted.form == "pair"
    destination.check(files_of_export(wanted.out, pair=is_pair))
    return destination


def _export_decoder(
    wanted: Decoder,
    predictor: "Predictor",
    features: np.ndarray,
    destination: "Destination",
) -> None:
    about = {"model": wanted.model}
    if wanted.out.suffix == ".onnx":
        from samjax.export.decoder_files import export_decoder

        done = export_decoder(
            predictor.model,
            predictor.params,
            [features],
            wanted.out,
            form=wanted.form,
            storage=wanted.storage,
            best_mask=wanted.best_mask,
            about=about,
            destination=destination,
        )
    else:
        from samjax.export import stablehlo

        done = stablehlo.export_decoder(
            predictor.model,
            predictor.params,
            [features],
            wanted.out,
            storage=wanted.storage,
            about=about,
            destination=destination,
        )
    _print_files(done.files)
    agreement = done.agreement
    print(
        f"beside the model, {agreement.prompts} prompts on a photo: logits differ by"
        f" {agreement.logit_error:.1e} of their size, scores by {agreement.score_error:.1e},"
        f" masks have an IoU of {agreement.mask_iou:.4f} ({agreement.least_mask_iou:.4f} at least)"
    )


def _export_text(
    wanted: Text, predictor: "Predictor", destination: "Destination"
) -> None:
    from samjax.export.text_files import export_text
    from samjax.inference.texts import sample_texts, tokenizer_of

    texts = sample_texts(predictor.model)
    done = export_text(
        predictor.model,
        predictor.params,
        tokenizer_of(predictor.model)(texts),
        np.stack([predictor.embed_text(text) for text in texts]),
        wanted.out,
        storage=wanted.storage,
        about={"model": wanted.model},
        destination=destination,
    )
    _print_files([done.file])
    print(f"beside the model, vectors of length 1 differ by {done.error:.1e} at most")


def _export_encoder(
    wanted: Encoder,
    predictor: "Predictor",
    image: np.ndarray,
    features: np.ndarray,
    destination: "Destination",
) -> None:
    given = (predictor.model, predictor.params, image, features, wanted.out)
    options: Any = {
        "storage": wanted.storage,
        "about": {"model": wanted.model},
        "destination": destination,
    }
    if wanted.out.suffix == ".onnx":
        from samjax.export.encoder_files import export_encoder

        done = export_encoder(*given, arithmetic=wanted.arithmetic, **options)
    else:
        from samjax.export import stablehlo

        done = stablehlo.export_encoder(*given, **options)
    _print_files(done.files)
    print(
        f"beside the model, on a photo: the embedding differs by {done.error:.1e} of its"
        " size"
    )


def _print_files(files: list[Path]) -> None:
    for file in files:
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
