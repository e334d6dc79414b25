"""Files of a tokenizer beside weights, which transformers and `samjax.text` read."""

from pathlib import Path

TOKENIZER_FILES = (
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
)
"""Those that `samjax.text.SiglipTokenizer` reads; they come with the weights of the hub."""
FURTHER_FILES = ("special_tokens_map.json", "vocab.json", "merges.txt")
"""Those that transformers reads for CLIP and SigLIP; samjax has CLIP's vocabulary."""


def tokenizer_files(path: Path) -> list[Path]:
    """Returns the files of a tokenizer in a folder of weights; none for a file.

    Args:
        path: The file or folder.
    """
    files = [path / name for name in (*TOKENIZER_FILES, *FURTHER_FILES)]
    return [file for file in files if path.is_dir() and file.is_file()]
