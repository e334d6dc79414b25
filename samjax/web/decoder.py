"""The decoder that the page runs: exported once for a model, checked, and kept."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from samjax import __version__
from samjax.export.files import Destination
from samjax.export.onnx_graph import Storage
from samjax.inference import Predictor
from samjax.inference.embedding import update_by_params
from samjax.inference.images import SAMPLE_PHOTO

Part = Literal["prepare", "prompt"]
PARTS: tuple[Part, ...] = ("prepare", "prompt")


@dataclass(frozen=True, kw_only=True)
class DecoderFile:
    """A graph on the disk.

    Attributes:
        path: Where it is.
        bytes: How large.
        sha256: Of its content.
    """

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """The two graphs, and how their weights are stored."""

    prepare: DecoderFile
    prompt: DecoderFile
    storage: Storage

    def part(self, name: Part) -> DecoderFile:
        """A graph by its name."""
        return self.prepare if name == "prepare" else self.prompt


def obtain_decoder(
    predictor: Predictor,
    cache: Path,
    *,
    storage: Storage = "float16",
    before_export: Callable[[], object] = lambda: None,
) -> Decoder:
    """Finds the decoder of a model in a cache, or exports it there.

    Args:
        predictor: The model.
        cache: A folder, made if need be.
        storage: How weights are stored.
        before_export: Is called when it is not there, which takes some seconds.

    Raises:
        ImportError: It has to be exported, and the extra `export` is missing.
        ValueError: What is exported does not answer as the model does.
        OSError: It cannot be written.
    """
    folder = cache / _key(predictor, storage)
    found = _verified(folder, storage)
    if found is None:
        before_export()
        features = np.asarray(predictor.embed(SAMPLE_PHOTO).features)
        folder.mkdir(parents=True, exist_ok=True)
        export_pair(predictor, features, folder, storage=storage)
        found = _verified(folder, storage)
    if found is None:
        raise OSError(f"{folder}: what was just written there cannot be read back")
    return found


def export_pair(
    predictor: Predictor,
    features: np.ndarray,
    folder: Path,
    *,
    storage: Storage,
    about: dict[str, Any] | None = None,
) -> None:
    """Writes the two graphs that a page runs, and the report on them, to a folder.

    Args:
        predictor: The model.
        features: What it makes of a photo, over which the graphs are compared with it.
        folder: Where they go.
        storage: How weights are stored.
        about: What else the report is to say.

    Raises:
        NotTheModel: The graphs do not answer as the model does.
    """
    from samjax.export.decoder_files import export_decoder

    export_decoder(
        predictor.model,
        predictor.params,
        [features],
        folder / "decoder.onnx",
        form="pair",
        storage=storage,
        about=about,
        # The folder is samjax's own, and what is damaged in it is made again.
        destination=Destination(overwrite=True),
    )


def _verified(folder: Path, storage: Storage) -> Decoder | None:
    """What is there, if it is whole: its report is written last."""
    try:
        files = json.loads((folder / "decoder.json").read_text())["files"]
        found = {part: _checked(folder, part, files) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Decoder(**found, storage=storage)


def _checked(folder: Path, part: Part, files: dict[str, Any]) -> DecoderFile:
    path = folder / f"decoder.{part}.onnx"
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != files[path.name]["sha256"]:
        raise ValueError(f"{path} is damaged")
    return DecoderFile(path=path, bytes=len(content), sha256=digest)


def _key(predictor: Predictor, storage: Storage) -> str:
    """Names the model's encoder and decoder, and what makes graphs of it."""
    digest = hashlib.sha256()
    digest.update(f"{predictor.fingerprint} {__version__} {storage}".encode())
    # The fingerprint is that of the encoder alone.
    for name in ("prompt_encoder", "mask_decoder"):
        update_by_params(digest, predictor.params[name])
    # In a checkout the version stands still while the code does not.
    for package in ("samjax.export", "samjax.models.amortized"):
        for source in sorted(resources.files(package).iterdir(), key=str):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()[:32]
