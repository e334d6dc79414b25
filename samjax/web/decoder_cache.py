"""Cache of the ONNX decoder that the page runs: exported once per model, and verified."""

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
from samjax.inference.embedding import weights_fingerprint
from samjax.inference.images import SAMPLE_PHOTO

Part = Literal["prepare", "prompt"]
PARTS: tuple[Part, ...] = ("prepare", "prompt")


@dataclass(frozen=True, kw_only=True)
class DecoderFile:
    """An ONNX graph on the disk.

    Attributes:
        path: Path of the file.
        bytes: Size of the file.
        sha256: Hash of its content.
    """

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class PageDecoder:
    """The page's decoder as two graphs: once per image, and once per prompt."""

    prepare: DecoderFile
    prompt: DecoderFile
    storage: Storage

    def part(self, name: Part) -> DecoderFile:
        """Returns a graph by its name."""
        return self.prepare if name == "prepare" else self.prompt


def obtain_decoder(
    predictor: Predictor,
    cache: Path,
    *,
    storage: Storage = "float16",
    before_export: Callable[[], object] = lambda: None,
) -> PageDecoder:
    """Returns a model's decoder from a cache; exports it if it is not there.

    Args:
        predictor: The model.
        cache: Folder of the cache; created if missing.
        storage: How weights are stored.
        before_export: Called before an export, which takes some seconds.

    Raises:
        ImportError: It has to be exported, and the extra `export` is missing.
        ValueError: The exported graphs differ from the model.
        OSError: It cannot be written.
    """
    folder = cache / _key(predictor, storage)
    decoder = _verified(folder, storage)
    if decoder is None:
        before_export()
        features = np.asarray(predictor.embed(SAMPLE_PHOTO).features)
        folder.mkdir(parents=True, exist_ok=True)
        export_pair(predictor, features, folder, storage=storage)
        decoder = _verified(folder, storage)
    if decoder is None:
        raise OSError(
            f"{folder}: the decoder was written and cannot be read back: check the disk, "
            "or use another folder (SAMJAX_CACHE)"
        )
    return decoder


def export_pair(
    predictor: Predictor,
    features: np.ndarray,
    folder: Path,
    *,
    storage: Storage,
    takes_text: bool = False,
    about: dict[str, Any] | None = None,
) -> None:
    """Writes the two graphs that a page runs, and the report on them, to a folder.

    Args:
        predictor: The model.
        features: Embedding (gh, gw, c) of a photo, on which the graphs are compared with
            the model.
        folder: Folder that they are written to.
        storage: How weights are stored.
        takes_text: Whether the graphs take texts as well.
        about: Further entries of the report.

    Raises:
        NotTheModel: The graphs differ from the model.
    """
    from samjax.export.decoder_files import export_decoder

    export_decoder(
        predictor.model,
        predictor.params,
        [features],
        folder / "decoder.onnx",
        form="pair",
        storage=storage,
        takes_text=takes_text,
        about=about,
        # The folder belongs to the cache: a damaged file in it is replaced.
        destination=Destination(overwrite=True),
    )


def _verified(folder: Path, storage: Storage) -> PageDecoder | None:
    """Returns the decoder in a folder if it is complete; None otherwise."""
    try:
        # Written last, after both graphs.
        files = json.loads((folder / "decoder.json").read_text())["files"]
        graphs = {part: _checked(folder, part, files) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return PageDecoder(**graphs, storage=storage)


def _checked(folder: Path, part: Part, files: dict[str, Any]) -> DecoderFile:
    path = folder / f"decoder.{part}.onnx"
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != files[path.name]["sha256"]:
        raise ValueError(f"{path} is damaged")
    return DecoderFile(path=path, bytes=len(content), sha256=digest)


def _key(predictor: Predictor, storage: Storage) -> str:
    """Returns a hash of the model's weights and of the code that exports them."""
    digest = hashlib.sha256()
    weights = weights_fingerprint(predictor.model.config, predictor.params)
    digest.update(f"{weights} {__version__} {storage}".encode())
    # In a checkout the code changes while the version does not.
    for package in ("samjax.export", "samjax.models.amortized"):
        for source in sorted(resources.files(package).iterdir(), key=str):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()[:32]
