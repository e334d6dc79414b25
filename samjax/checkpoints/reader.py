"""Opens weights in any form as a config and a tensor for each entry of the weight map.

The container (`.pth`, `.safetensors`, folder), the naming (the release's, Hugging
Face's, samjax's) and wrappers are detected here, and no other file depends on them. An
opened checkpoint is complete: its tensors are exactly those of the model, in name and
shape and of a floating dtype; otherwise one error lists all differences.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from samjax.checkpoints import hugging_face
from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.families import SAM, families, family_in, family_of
from samjax.checkpoints.family_forms import (
    config_beside,
    family_in_transformers,
    join_pieces,
    model_types,
    released_files,
)
from samjax.checkpoints.flax_file import is_flax
from samjax.checkpoints.flax_forms import open_flax
from samjax.checkpoints.mapped import FLOATING, JoinedTensor, StoredTensor, ZeroTensor
from samjax.checkpoints.safetensors_file import is_safetensors, read_safetensors
from samjax.checkpoints.shared_encoder import shared_tensors
from samjax.checkpoints.sizes import config_from_json, count_modules, guess_config
from samjax.checkpoints.state_dict import Groups, all_names, find_state_dict
from samjax.checkpoints.torch_file import read_torch_file
from samjax.models import VIT_B
from samjax.models.family import ModelFamily
from samjax.models.weight_map import (
    CONSTANT_BUFFERS,
    HUGGING_FACE_COPIES,
    Entry,
    entries,
)

Naming = Literal["samjax", "released", "huggingface"]
OWN_NAME = "samjax.safetensors"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Weights that have been opened and found complete, not yet read.

    Attributes:
        path: Their file or folder.
        config: Config of the model.
        naming: Naming in the file; samjax's own form has its own layout too.
        tensors: Released name to tensor, for every entry of the config.
        metadata: Strings that samjax's own form carries.
    """

    path: Path
    config: Any
    naming: Naming
    tensors: Mapping[str, StoredTensor | JoinedTensor | ZeroTensor]
    metadata: Mapping[str, str]

    @property
    def family(self) -> ModelFamily:
        """The family that the model belongs to."""
        return family_of(self.config)

    def entries(self) -> list[Entry]:
        """Returns all entries, in the order of their bytes in the files."""
        return sorted(
            self.family.entries(self.config),
            key=lambda entry: (
                str(self.tensors[entry.released].file.path),
                self.tensors[entry.released].start,
            ),
        )

    def name(self, entry: Entry) -> str:
        """Returns the name of an entry in the file."""
        if self.naming == "samjax":
            return "/".join(entry.path)
        if self.naming == "released":
            return entry.released
        form = self.family.hugging_face
        return entry.hugging_face if form is None else form.pieces(entry)[0].name

    def leaf(self, entry: Entry) -> np.ndarray:
        """Returns the array of an entry in samjax's layout and shape, a view of the file.

        Raises:
            CheckpointError: Its bytes contradict their checksum.
        """
        try:
            array = self.tensors[entry.released].array()
        except CheckpointError as error:
            raise CheckpointError(
                f"{self.path} is damaged.", [f"{self.name(entry)}: {error}"]
            ) from error
        return array if self.naming == "samjax" else entry.to_tree(array)


def open_checkpoint(path: Path) -> Checkpoint:
    """Opens a file or folder of weights.

    Raises:
        CheckpointError: If it is not one, or not of this architecture, or not whole;
            the message lists everything wrong.
    """
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    foreign: dict[str, Any] | None = None
    metadata: dict[str, str] = {}
    if path.is_dir():
        if (path / OWN_NAME).is_file():
            own, metadata = read_safetensors(path / OWN_NAME)
            groups: Groups = {(): dict(own)}
        elif files := released_files(path):
            groups = read_tensors(files)
        else:
            files = hugging_face.weight_files(path)
            foreign = hugging_face.read_config(path, model_types())
            groups = read_tensors(files)
            sibling = family_in_transformers(foreign.get("model_type"))
            if sibling is not None:
                return _open_hugging_face(path, groups, sibling, foreign)
    elif is_safetensors(path):
        own, metadata = read_safetensors(path)
        groups = {(): dict(own)}
    elif is_flax(path):
        config, opened = open_flax(path)
        return Checkpoint(path, config, "released", opened, {})
    else:
        own, groups = {}, read_torch_file(path)
    if metadata.get("format") == "samjax":
        return _open_own(path, own, metadata)
    family = families().get(metadata.get(FAMILY_KEY, "")) or family_in(groups)
    if foreign is None and family is not SAM:
        return _open_released(path, groups, family, metadata)
    heads = hugging_face.decoder_heads(foreign or {})
    if "samjax_config" in metadata:
        config = _stored_config(path, metadata["samjax_config"], SAM)
        heads = config.decoder_num_heads
    return _open_foreign(path, groups, foreign, heads)


def read_tensors(files: list[Path]) -> Groups:
    """Opens the tensors of files of any form, which are shards of one set.

    Raises:
        CheckpointError: If a file cannot be read, or two have a tensor of one name.
    """
    groups: Groups = {}
    for file in files:
        if is_safetensors(file):
            shard: Groups = {(): dict(read_safetensors(file).tensors)}
        else:
            shard = read_torch_file(file)
        for keys, tensors in shard.items():
            group = groups.setdefault(keys, {})
            if twice := sorted(set(group) & set(tensors)):
                raise CheckpointError(
                    f"{file} repeats tensors of another shard.", twice
                )
            group |= tensors
    return groups


def _open_own(
    path: Path, tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]
) -> Checkpoint:
    """Opens samjax's own form, which carries its config."""
    if metadata.get("version") != OWN_VERSION:
        raise CheckpointError(
            f"{path} is of version {metadata.get('version')} of samjax's form, "
            f"expected {OWN_VERSION}: update samjax."
        )
    name = metadata.get(FAMILY_KEY, SAM.name)
    family = families().get(name)
    if family is None:
        raise CheckpointError(
            f"{path} is of the model family {name!r:.80}, expected one of "
            f"{', '.join(families())}: update samjax."
        )
    config = _stored_config(path, metadata.get("config", ""), family)
    _check_repeats(path, config, tensors)
    tensors = {**shared_tensors(path, metadata, config), **tensors}
    names = {"/".join(entry.path): entry for entry in family.entries(config)}
    problems = _compare(
        tensors, {name: entry.tree_shape for name, entry in names.items()}
    )
    if problems:
        raise CheckpointError(f"{path} does not fit its own config.", problems)
    by_released = {entry.released: tensors[name] for name, entry in names.items()}
    return Checkpoint(path, config, "samjax", by_released, metadata)


def _stored_config(path: Path, text: str, family: ModelFamily) -> Any:
    """Reads the config in the metadata of a file."""
    try:
        return config_from_json(text, family.config)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} cannot be used.", error.problems or [str(error)]
        ) from error


def _check_repeats(path: Path, config: Any, tensors: Mapping[str, Any]) -> None:
    """Refuses a config of more modules than there are tensors.

    To be called before the weight map is expanded: a large config in a small file would
    expand without end.
    """
    if config.num_repeats > len(tensors):
        raise CheckpointError(
            f"{path} says a config of {config.num_repeats} modules and has "
            f"{len(tensors)} tensors."
        )


def _open_released(
    path: Path, groups: Groups, family: ModelFamily, metadata: Mapping[str, str]
) -> Checkpoint:
    """Opens tensors under the released names of a family other than SAM."""
    tensors = find_state_dict(path, groups, family.marks, family.parts)
    problems: list[str] = []
    folder = path if path.is_dir() else path.parent
    if metadata.get(FAMILY_KEY) == family.name and "samjax_config" in metadata:
        config = _stored_config(path, metadata["samjax_config"], family)
    elif known := config_beside(folder, family):
        config, problems = known.config, known.problems
    else:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        config, problems = family.guess_config(shapes)
    _check_repeats(path, config, tensors)
    tensors = {
        name: tensor
        for name, tensor in tensors.items()
        if not re.fullmatch(family.ignored, name)
    }
    shapes = {entry.released: entry.shape for entry in family.entries(config)}
    problems = _compare(tensors, shapes) + problems
    if problems:
        raise CheckpointError(
            f"{path} does not fit a model of the family {family.name!r}; what comes "
            f"nearest is {config}.",
            problems,
        )
    return Checkpoint(path, config, "released", tensors, {})


def _open_hugging_face(
    path: Path, groups: Groups, family: ModelFamily, content: Mapping[str, Any]
) -> Checkpoint:
    """Opens a folder of transformers of a family other than SAM."""
    form = family.hugging_face
    assert form is not None
    stored = find_state_dict(path, groups, form.marks, form.parts)
    config, problems = form.read_config(content)
    _check_repeats(path, config, stored)
    table = family.entries(config)
    tensors, differences = join_pieces(stored, form, table)
    expected = {entry.released: entry.shape for entry in table}
    present = {name: expected[name] for name in tensors}
    problems = differences + _compare(tensors, present) + problems
    if problems:
        raise CheckpointError(
            f"{path} does not fit a model of the family {family.name!r}; its "
            f"{hugging_face.CONFIG_NAME} says {config}.",
            problems,
        )
    return Checkpoint(path, config, "huggingface", tensors, {})


def _open_foreign(
    path: Path, groups: Groups, foreign: dict[str, Any] | None, heads: int
) -> Checkpoint:
    """Opens tensors under the release's names or Hugging Face's."""
    tensors = find_state_dict(path, groups, SAM.marks, SAM.parts)
    naming = _naming(path, tensors, all_names(groups))
    tensors, problems = _drop_known_extras(tensors, naming)
    released = _released_names(tensors, naming)
    shapes = {
        released.get(name, name): tensor.shape for name, tensor in tensors.items()
    }
    config, doubts = guess_config(shapes, heads)
    expected = {
        entry.hugging_face if naming == "huggingface" else entry.released: entry
        for entry in entries(config)
    }
    problems += _compare(
        tensors, {name: entry.shape for name, entry in expected.items()}
    )
    problems += doubts
    if foreign is not None:
        problems += hugging_face.contradictions(foreign, config)
    if problems:
        raise CheckpointError(
            f"{path} does not fit a Segment Anything model: encoder of width "
            f"{config.embed_dim}, {config.depth} blocks, {config.num_heads} heads, "
            f"{config.grid_size} x {config.grid_size} patches of {config.patch_size} "
            "pixels is what comes nearest.",
            problems,
        )
    by_released = {entry.released: tensors[name] for name, entry in expected.items()}
    return Checkpoint(path, config, naming, by_released, {})


def _naming(
    path: Path, tensors: Mapping[str, StoredTensor], names: list[str]
) -> Naming:
    votes: dict[Naming, int] = {
        "released": sum(name.startswith("image_encoder.") for name in tensors),
        "huggingface": sum(name.startswith("vision_encoder.") for name in tensors),
    }
    naming = max(votes, key=lambda key: votes[key])
    if not votes[naming]:
        shown = ", ".join(f"{name:.60}" for name in names[:8])
        raise CheckpointError(
            f"{path} holds no Segment Anything model: no tensor is named "
            "image_encoder.* (the release) or vision_encoder.* (Hugging Face). "
            f"It has {len(names)} tensors: {shown or 'none'}."
        )
    return naming


def _drop_known_extras(
    tensors: Mapping[str, StoredTensor], naming: Naming
) -> tuple[dict[str, StoredTensor], list[str]]:
    """Drops constants and copies, and lists those that have other values."""
    kept, problems = dict(tensors), []
    for name, constant in CONSTANT_BUFFERS.items():
        buffer = kept.pop(name, None)
        if buffer is not None and not _holds(buffer, constant):
            problems.append(
                f"{name} is not {constant}: the model was trained on pixels "
                "normalized in another way"
            )
    if naming == "huggingface":
        for copy, original in HUGGING_FACE_COPIES.items():
            duplicate = kept.pop(copy, None)
            if duplicate is None:
                continue
            tensor = kept.setdefault(original, duplicate)
            same = tensor.shape == duplicate.shape and tensor.dtype == duplicate.dtype
            if not same or tensor.array().tobytes() != duplicate.array().tobytes():
                problems.append(f"{copy} and {original} differ; they are one tensor")
    return kept, problems


def _holds(buffer: StoredTensor, constant: tuple[float, ...]) -> bool:
    if math.prod(buffer.shape) != len(constant):
        return False
    return np.allclose(buffer.array().reshape(-1).astype(np.float64), constant, 1e-2)


def _released_names(
    tensors: Mapping[str, StoredTensor], naming: Naming
) -> dict[str, str]:
    """Returns stored names to released names, for as many modules as the names have."""
    if naming == "released":
        return {}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    depth, decoder_depth, masks = count_modules(shapes)
    counted = dataclasses.replace(
        VIT_B, depth=depth, decoder_depth=decoder_depth, num_multimask_outputs=masks - 1
    )
    return {entry.hugging_face: entry.released for entry in entries(counted)}


def _compare(
    tensors: Mapping[str, StoredTensor | JoinedTensor],
    expected: Mapping[str, tuple[int, ...]],
) -> list[str]:
    """Lists all differences between the tensors and those of the model."""
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    for name, tensor in tensors.items():
        if name not in expected:
            problems.append(f"{name:.200} {tensor.shape} is not part of the model")
            continue
        if tensor.shape != expected[name]:
            problems.append(
                f"{name} has shape {tensor.shape}, expected {expected[name]}"
            )
        if tensor.dtype not in FLOATING:
            problems.append(
                f"{name} is stored as {tensor.dtype}, expected one of "
                f"{', '.join(FLOATING)}"
            )
    return problems


OWN_VERSION = "1"
# Key of the metadata that names the family of a model other than SAM.
FAMILY_KEY = "family"
