"""Finds the weights of a model among the tensors of a file, by their names.

Training loops nest a state dict in other dicts under keys of their own, and wrap models
in modules that each add a word to the front of every name. No list of keys can locate
the weights, but their names can, such as `image_encoder.blocks.0.attn.qkv.weight`: the
text before them, in names and in the keys of surrounding dicts, is the *prefix* of the
model, and tensors with another prefix do not belong to it.
"""

import re
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import StoredTensor

Tensor = StoredTensor | CheckpointError
"""A tensor of a file; the error with which it cannot be read."""

Groups = dict[tuple[str, ...], dict[str, Tensor]]
"""The tensors of every dict of a file: by the keys that lead to it, then by name."""


def nested(content: Any, kind: type) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Iterates over all values of a type in nested containers, breadth first.

    A container that is reached along several paths is visited once.

    Yields:
        The keys of the surrounding containers, the key of the value, and the value.
    """
    pending: deque[tuple[tuple[str, ...], Any]] = deque([((), content)])
    seen = {id(content)}
    while pending:
        keys, container = pending.popleft()
        items = container.items() if isinstance(container, dict) else None
        for key, value in enumerate(container) if items is None else items:
            if isinstance(value, kind):
                yield keys, str(key), value
            elif isinstance(value, dict | list | tuple) and id(value) not in seen:
                seen.add(id(value))
                if len(keys) < MAX_DEPTH:
                    pending.append(((*keys, str(key)), value))


def find_state_dict(
    path: Path, groups: Groups, marks: str, parts: Collection[str] = ()
) -> dict[str, StoredTensor]:
    """Finds the tensors of a model.

    Args:
        path: The file, for messages.
        groups: All tensors of it.
        marks: Regular expression of names that only the model has.
        parts: First words of the model's names, if each may be a dict of its own.

    Returns:
        Name, without its prefix, to tensor; empty where no name matches. Words that
        wrappers of inner modules add are left out of names.

    Raises:
        CheckpointError: There are several models, or one of the tensors cannot be
            read.
    """
    prefix = _prefix(path, groups, marks, parts)
    tensors: dict[str, StoredTensor] = {}
    problems = []
    for keys, group in groups.items():
        is_inner = prefix is not None and len(_joined(keys)) > len(prefix)
        for name, tensor in group.items():
            full = _joined(keys) + name
            if prefix is None or not full.startswith(prefix):
                continue
            rest = full[len(prefix) :]
            # Another dict under the same prefix, such as an optimizer's state.
            if is_inner and rest.partition(".")[0] not in parts:
                continue
            short = ".".join(word for word in rest.split(".") if word not in WRAPPERS)
            if isinstance(tensor, CheckpointError):
                problems.append(f"{short:.200}: {tensor}")
            elif short in tensors:
                problems.append(f"{short:.200} is there twice")
            else:
                tensors[short] = tensor
    # Many tensors may share a storage; a hostile file could share one without end.
    total = sum(tensor.nbytes for tensor in tensors.values())
    if total > MAX_EXPANSION * sum(f.size for f in {t.file for t in tensors.values()}):
        problems.append(f"its tensors take more than {MAX_EXPANSION} times the file")
    if problems:
        raise CheckpointError(f"{path} cannot be read.", problems)
    return tensors


def count_names(groups: Groups, marks: str) -> int:
    """Returns how many tensors of a file have a name that matches."""
    return sum(_votes(groups, marks).values())


def all_names(groups: Groups) -> list[str]:
    """Returns the names of all tensors, after the keys of the dicts around them."""
    return [_joined(keys) + name for keys, group in groups.items() for name in group]


def _prefix(
    path: Path, groups: Groups, marks: str, parts: Collection[str]
) -> str | None:
    """Returns the prefix of the model's names; None where no model is found."""
    votes = _votes(groups, marks)
    if not votes:
        return None
    whole = _parts_behind(groups, parts)
    # A whole model takes precedence over an encoder alone.
    most = max(whole[p] for p in votes)
    likely = [p for p in votes if whole[p] == most]
    most = max(votes[p] for p in likely)
    likely = [p for p in likely if 2 * votes[p] >= most]
    if len(likely) == 1:
        return likely[0]
    usual = [p for p in likely if set(p.split(".")[:-1]) <= set(USUAL)]
    if not usual:
        shown = ", ".join(repr(prefix)[:80] for prefix in sorted(likely)[:10])
        raise CheckpointError(
            f"{path} holds {len(likely)} models, under {shown}: save the state dict of "
            "one of them alone."
        )
    return min(usual, key=lambda p: [USUAL.index(word) for word in p.split(".")[:-1]])


def _parts_behind(groups: Groups, parts: Collection[str]) -> Mapping[str, int]:
    """Counts the parts of the model that follow each prefix."""
    pairs = set()
    for name in all_names(groups):
        words = name.split(".")
        for i, word in enumerate(words if len(name) <= MAX_NAME else ()):
            if word in parts:
                pairs.add((_joined(tuple(words[:i])), word))
    return Counter(prefix for prefix, _ in pairs)


def _votes(groups: Groups, marks: str) -> Mapping[str, int]:
    """Counts the names of the model that follow each prefix."""
    pattern = re.compile(rf"((?:.*\.)?)(?:{marks})")
    matches = (pattern.fullmatch(n) for n in all_names(groups) if len(n) <= MAX_NAME)
    return Counter(match[1] for match in matches if match)


def _joined(keys: tuple[str, ...]) -> str:
    return "".join(f"{key}." for key in keys)


# Bytes of all tensors of a model over bytes of the file.
MAX_EXPANSION = 2
MAX_DEPTH = 16
# Longer names belong to no model, and take long to search.
MAX_NAME = 500
# Among several models in a file, the first of these keys takes precedence.
USUAL = ("model", "state_dict", "model_state_dict")
# Words that torch.compile, DistributedDataParallel, FSDP and checkpointing put between
# the names of modules.
WRAPPERS = (
    "_orig_mod",
    "module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
)
