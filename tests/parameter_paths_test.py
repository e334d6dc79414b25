"""Paths of the parameter tree are spelled in `samjax/models/params.py`, and nowhere else."""

import ast
import re
from pathlib import Path

import pytest
from repository_test import ROOT, named, python_files

from samjax.models import VIT_B
from samjax.models.weight_map import entries

# Files beside `models/params.py` that spell names of the parameter tree, and why.
SPELL_PARAMETERS = {
    "samjax/models/": "modules name their submodules, and the weight map has the rest",
    "samjax/checkpoints/sizes.py": "names of the release, whose shapes show the sizes",
    "samjax/checkpoints/families.py": "names of the release, by which a file is SAM's",
    "samjax/checkpoints/reader.py": "names of the release and of Hugging Face",
    "samjax/checkpoints/plain_vit.py": "names of the release that a ViT has too",
    "samjax/checkpoints/mae.py": "map of another model's names",
    "samjax/checkpoints/dinov2.py": "map of another model's names",
    "samjax/export/": "graphs write the model again, node by node, under its names",
    "samjax/evaluation/segmenter.py": "a key of result files, which is no path",
    "samjax/evaluation/segmenters/torch_reference.py": "names of the release",
    "tools/dinov2_from_onnx.py": "map of another model's names",
}


def parameter_names() -> set[str]:
    """Keys of the parameter tree that are no words of other things too."""
    keys = {key for entry in entries(VIT_B) for key in entry.path}
    names = {key for key in keys if re.search(r"[_\d]", key)} | {"qkv", "kernel"}
    # As format strings have them: f"blocks_{block}", f"rel_pos_{axis}".
    return names | {re.sub(r"(?<=_)(\d+|[hw])$", "", name) for name in names}


def spelled_parameters(text: str) -> list[tuple[int, str]]:
    """Strings of a Python file that have a key of the parameter tree, but for prose."""
    tree, names = ast.parse(text), parameter_names()
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and not re.search(r"\s", node.value)
        and names & set(re.split(r"\W+", node.value))
    ]


@named(python_files("samjax", "tools", "configs"))
def test_paths_of_parameters_are_spelled_in_one_place(path: Path):
    name = str(path.relative_to(ROOT))
    if name.startswith(tuple(SPELL_PARAMETERS)):
        return
    spelled = spelled_parameters(path.read_text())
    assert not spelled, (
        f"{name}:{spelled[0][0]} spells {spelled[0][1]!r}: take paths of parameters, "
        "and rules over them, from samjax/models/params.py"
    )


def test_every_exemption_from_spelling_parameters_is_still_needed():
    for name, reason in SPELL_PARAMETERS.items():
        assert reason
        paths = [
            path
            for path in python_files("samjax", "tools")
            if str(path.relative_to(ROOT)).startswith(name)
        ]
        assert any(spelled_parameters(path.read_text()) for path in paths), name


@pytest.mark.parametrize(
    "line",
    [
        'part = params["image_encoder"]',
        'block = params["image_encoder"][f"blocks_{i}"]',
        'path.startswith("image_encoder/neck_")',
        r'RULE = (r"attn/qkv/kernel", None)',
        r'RULE = r"layers_\d+/mlp/lin[12]"',
        'name in ("rel_pos_h", "rel_pos_w")',
        'table = block["attn"][f"rel_pos_{axis}"]',
        'tree["k_proj"] = tree["q_proj"]',
        'path[-1].key == "kernel"',
    ],
)
def test_spelled_paths_of_parameters_are_found(line: str):
    assert spelled_parameters(line)
    assert not spelled_parameters('"an image_encoder has blocks"')
