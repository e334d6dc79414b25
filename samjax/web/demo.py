"""The static demo: the page with encoder and decoder in a folder for any static host."""

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from samjax.export.encoder_files import export_encoder
from samjax.export.onnx_graph import Arithmetic, Storage
from samjax.export.prompt_text_files import export_prompt_text
from samjax.files import json_text
from samjax.inference import Predictor
from samjax.inference.embedding import weights_fingerprint
from samjax.inference.images import read_image
from samjax.inference.texts import sample_texts, tokenizer_of
from samjax.web.decoder_cache import export_pair
from samjax.web.description import describe_model
from samjax.web.page import missing_files, page_folder
from samjax.web.site import CONFIG, files_below, is_demo, put_in_place

_ISOLATION = "isolation_worker.js"
# For everything mode, which the browser runs one point at a time.
_POINTS_PER_SIDE = 12

# Threads need shared memory, which browsers give to cross-origin isolated pages alone.
# Hosts that support this file send the headers; elsewhere a service worker adds them.
_HEADERS = """/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
  Cross-Origin-Resource-Policy: same-origin
  X-Content-Type-Options: nosniff
"""


def write_demo(
    predictor: Predictor,
    out: Path,
    *,
    name: str,
    samples: Sequence[Path],
    storage: Storage = "float16",
    arithmetic: Arithmetic = "int8",
    say: Callable[[str], object] = lambda what: None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes the demo; in an existing folder only files of an older demo are replaced.

    A new folder appears complete or not at all. An existing one changes only after all
    files were made, and files that no demo wrote, or that were changed since, stay.

    Args:
        predictor: The model. Its encoder runs in the visitor's browser, so a small one.
        out: The folder.
        name: Name of the model, for the page to show.
        samples: Sample photos; the exported models are verified on the first.
        storage: How weights are stored.
        arithmetic: Arithmetic of the encoder's large matrix products.
        say: Called with the name of each step before it starts.
        overwrite: Whether files that no demo wrote are replaced.

    Returns:
        The size in bytes of every file of the demo, by its path in the folder.

    Raises:
        FileExistsError: The folder has other content, or a file where one of the demo's
            goes.
        FileNotFoundError: Files of the page are missing.
        NotTheModel: The exported models differ from the model.
        OSError: It cannot be written.
    """
    check_place(out, overwrite=overwrite)
    page = page_folder()
    if missing := missing_files(page):
        raise FileNotFoundError(
            f"the page is not complete, {missing[0]} is missing: run `make page` in a"
            " checkout of samjax"
        )
    hidden = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        shutil.copytree(page, hidden / "page")
        os.replace(hidden / "page" / "index.html", hidden / "index.html")
        # The scope of a service worker is its own folder and those below.
        os.replace(hidden / "page" / _ISOLATION, hidden / _ISOLATION)
        (hidden / "_headers").write_text(_HEADERS)
        models = _export(
            predictor, hidden / "model", samples[0], name, storage, arithmetic, say
        )
        photos = _names(samples)
        (hidden / "photos").mkdir()
        for sample, photo in zip(samples, photos, strict=True):
            shutil.copyfile(sample, hidden / "photos" / photo)
        config = {
            "mode": "demo",
            # Of words: CLIP's vocabulary and towers are not for a page.
            "model": {
                **describe_model(predictor, name, _POINTS_PER_SIDE),
                "text": "text" in models,
            },
            # Widgets of notebooks take a decoder of their own model alone.
            "weights": weights_fingerprint(predictor.model.config, predictor.params),
            **models,
            "samples": [
                {"url": f"photos/{quote(photo)}", "name": sample.stem}
                for sample, photo in zip(samples, photos, strict=True)
            ],
            # The next export replaces these files and no others.
            "files": files_below(hidden),
        }
        (hidden / CONFIG).write_text(json_text(config, indent=1) + "\n")
        sizes = {name: (hidden / name).stat().st_size for name in files_below(hidden)}
        put_in_place(hidden, out, overwrite=overwrite)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return sizes


def check_place(out: Path, *, overwrite: bool = False) -> None:
    """Checks that a demo may be written to a folder.

    Raises:
        FileExistsError: The folder has other content.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (overwrite or is_demo(out)):
        raise FileExistsError(
            f"got {out}, which has other content than a demo, expected a new folder or a "
            "demo's: name another folder"
        )


def _names(samples: Sequence[Path]) -> list[str]:
    """Returns names for the photos' copies, distinct also if case is ignored."""
    names: list[str] = []
    taken: set[str] = set()
    for sample in samples:
        name, copies = sample.name, 1
        while name.casefold() in taken:
            copies += 1
            name = f"{sample.stem}_{copies}{sample.suffix}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _export(
    predictor: Predictor,
    folder: Path,
    photo: Path,
    name: str,
    storage: Storage,
    arithmetic: Arithmetic,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Exports the models; returns their entries in the demo's config."""
    folder.mkdir()
    pixels = read_image(photo)
    embedding = predictor.embed(pixels)
    features = np.asarray(embedding.features)
    about = {"model": name}
    has_text = predictor.model.has_text and bool(
        getattr(predictor.model.config, "words", ())
    )
    say("the decoder")
    export_pair(
        predictor, features, folder, storage=storage, takes_text=has_text, about=about
    )
    if has_text:
        say("the text tower")
        # A prompt is a text alone: vectors that are rounded move few masks.
        exact = storage == "float32"
        _export_text(predictor, features, folder, "float32" if exact else "int8")
    say("the encoder")
    export_encoder(
        predictor.model,
        predictor.params,
        embedding.frame.resize_image(pixels),
        features,
        folder / "encoder.onnx",
        storage=storage,
        arithmetic=arithmetic,
        about=about,
    )

    def file(part: str) -> dict[str, Any]:
        path = folder / f"{part}.onnx"
        return {"url": f"model/{path.name}", "bytes": path.stat().st_size}

    exported: dict[str, Any] = {
        "encoder": file("encoder"),
        "decoder": {
            "prepare": file("decoder.prepare"),
            "prompt": file("decoder.prompt"),
            "storage": storage,
        },
    }
    if has_text:
        config: Any = predictor.model.config
        exported["text"] = {
            "graph": file("text"),
            "words": list(config.words),
            "context_length": config.context_length,
        }
    return exported


def _export_text(
    predictor: Predictor, features: np.ndarray, folder: Path, storage: Storage
) -> None:
    """Exports the graph that makes prompts of texts, next to the decoder's."""
    texts = sample_texts(predictor.model)
    export_prompt_text(
        predictor.model,
        predictor.params,
        tokenizer_of(predictor.model)(texts),
        np.stack([predictor.embed_text(text) for text in texts]),
        features,
        {
            part: (folder / f"decoder.{part}.onnx").read_bytes()
            for part in ("prepare", "prompt")
        },
        folder / "text.onnx",
        storage=storage,
    )
