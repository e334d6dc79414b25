"""Finds the weights of a model among all that a file holds, by how they are named.

Training loops nest a state dict in others, in their own ways and under their own words,
and wrap models in others, each of which puts a word before every name. So no list of
words tells where weights are; names such as `image_encoder.blocks.0.attn.qkv.weight`
do: what stands before them, in the names and in the keys of the dicts around, is the
*prefix* of the model, and all that has another one belongs to something else.
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
    """Goes over all values of a kind in nested containers, the outer ones first.

    A container that is reached in several ways counts once.

    Yields:
        The keys that lead to the dict that a value is in, its own key, and the value.
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
        parts: First words of the model's names. Where there are some, each may be a
            dict of its own.

    Returns:
        Name, without its prefix, to tensor; nothing where no name matches. Words with
        which modules within the model are wrapped are left out of names.

    Raises:
        CheckpointError: There are several models, or a tensor of the one cannot be
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
            # An optimizer's state, say, in a dict beside the names of the model.
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
    """The names of all tensors, with the keys that lead to them."""
    return [_joined(keys) + name for keys, group in groups.items() for name in group]


def _prefix(
    path: Path, groups: Groups, marks: str, parts: Collection[str]
) -> str | None:
    """Returns the prefix of the model's names; None where no model is found."""
    votes = _votes(groups, marks)
    if not votes:
        return None
    whole = _parts_behind(groups, parts)
    # Of an encoder alone beside a whole model, the whole model is meant.
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
    """How many parts of the model stand behind each prefix."""
    found = set()
    for name in all_names(groups):
        words = name.split(".")
        for place in range(len(words) if len(name) <= MAX_NAME else 0):
            if words[place] in parts:
                found.add((_joined(tuple(words[:place])), words[place]))
    return Counter(prefix for prefix, _ in found)


def _votes(groups: Groups, marks: str) -> Mapping[str, int]:
    """How many names of the model stand behind each prefix."""
    pattern = re.compile(rf"((?:.*\.)?)(?:{marks})")
    matches = (pattern.fullmatch(n) for n in all_names(groups) if len(n) <= MAX_NAME)
    return Counter(match[1] for match in matches if match)


def _joined(keys: tuple[str, ...]) -> str:
    return "".join(f"{key}." for key in keys)


# Bytes of all tensors of a model over bytes of the file.
MAX_EXPANSION = 2
MAX_DEPTH = 16
# Longer names are no model's, and take long to search.
MAX_NAME = 500
# Of several models in a file the first of these is meant, which has long been so.
USUAL = ("model", "state_dict", "model_state_dict")
# Words that torch.compile, DistributedDataParallel, FSDP and checkpointing put between
# the names of modules.
WRAPPERS = (
    "_orig_mod",
    "module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
)
