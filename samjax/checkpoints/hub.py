"""Weights from the Hugging Face Hub: `samjax.load("facebook/sam-vit-base")`.

Needs the extra `hub`. Only these files of a repository are fetched: its `config.json`, the
vocabulary of its tokenizer and its weights, as safetensors if it has them and as
`pytorch_model.bin` otherwise; or the single file that is named. The library keeps them in its own cache (`HF_HOME`) and sends
one request to the server (`HF_ENDPOINT`); without a network the cache is used.
"""

import re
from pathlib import Path

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.tokenizer_files import TOKENIZER_FILES


def is_repository(source: str) -> bool:
    """Returns whether a string has the form of a repository's name, or of a file in one.

    The forms are `OWNER/NAME` and `OWNER/NAME/FILE.pth`, optionally with `@REVISION`
    after the name. A string that starts with the name of an existing folder is a path.
    """
    match = NAME.fullmatch(source)
    if match is None or Path(match["owner"]).exists():
        return False
    # A path to a file that does not exist, such as runs/model.pth.
    return match["file"] is not None or not match["name"].endswith(ENDINGS)


def fetch(source: str) -> Path:
    """Fetches the weights of a repository, or takes them from the library's cache.

    Args:
        source: A name for which `is_repository` is true.

    Returns:
        A folder, or the file that is named.

    Raises:
        ValueError: The source is no name of a repository.
        CheckpointError: The package is missing, there is no such repository, or it has
            no weights.
    """
    match = NAME.fullmatch(source)
    if match is None:
        raise ValueError(f"{source} is no name of a repository.")
    repository, revision = f"{match['owner']}/{match['name']}", match["revision"]
    try:
        import huggingface_hub as library
    except ImportError as error:
        raise CheckpointError(
            f"Got {source!r}, which is no file or folder here. Weights of that name come "
            "from the Hugging Face Hub with the extra `hub`: pip install 'samjax[hub]'."
        ) from error
    try:
        if match["file"] is not None:
            file = library.hf_hub_download(repository, match["file"], revision=revision)
            return Path(file)
        for weights in WEIGHTS:
            folder = library.snapshot_download(
                repository, revision=revision, allow_patterns=[*CONFIGS, *weights]
            )
            if any(any(Path(folder).glob(pattern)) for pattern in weights):
                return Path(folder)
    except Exception as error:
        # The library's own errors are of several classes and of many lines.
        message = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"Got {source!r}, which is no file or folder here, and the Hugging Face Hub "
            f"does not give it: {message}."
        ) from error
    raise CheckpointError(
        f"The repository {repository} has no weights: expected "
        f"{' or '.join(weights[0] for weights in WEIGHTS)}."
    )


_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
NAME = re.compile(
    rf"(?P<owner>{_WORD})/(?P<name>{_WORD})(?:@(?P<revision>{_WORD}))?"
    rf"(?:/(?P<file>(?:{_WORD}/)*{_WORD}\.(?:pth|pt|bin|safetensors)))?"
)
ENDINGS = (".pth", ".pt", ".bin", ".safetensors")
# Tried in turn: names of the weights, of their shards, and of the index.
WEIGHTS = (
    ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"),
    # OpenCLIP's.
    ("open_clip_model.safetensors",),
    ("open_clip_pytorch_model.bin",),
)
CONFIGS = (
    "config.json",
    "open_clip_config.json",
    # SigLIP's vocabulary is not in samjax.
    *TOKENIZER_FILES,
)
