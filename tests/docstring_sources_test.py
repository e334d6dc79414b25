"""Docstrings of what was published elsewhere name their source, held by a rule.

What implements the paper, or takes a definition from another project, names it: part of a
paper, a format, a library. A module's docstring, with which its page of the reference
opens, may do so for all names of the module. New modules of the packages below either do
so or are listed as samjax's own.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "samjax"

# Parts of papers, citations, and projects whose definitions are taken over.
SOURCE = re.compile(
    r"\b(?:[Ss]ections?|[Aa]ppendix|[Ff]igure|[Tt]able) [A-Z\d]|\bet al\.|\b20\d\d\)"
    r"|arXiv|[Tt]he (?:paper|reference|release)(?:'s)?\b"
    r"|[Tt]he released (?:code|encoder|generator|model)\b"
    r"|\b(?:segment_anything|transformers|pycocotools|mmdetection|detectron2|Pillow)\b"
    r"|\b(?:PyTorch|OpenCV|scikit-image|JAX ships|SAM 2|SA-1B|COCO|LVIS|TFDS|YOLO)\b"
    r"|\b(?:CLIP|DINOv2|LoRA|MedSAM|MViTv2|RITM|ViTDet|BSDS\d*|[Oo]pen_?CLIP)\b"
)
# Packages that implement the paper, or rules of other projects.
PUBLISHED = (
    "models",
    "training/*.py",
    "training/initial",
    "training/finetune",
    "inference",
    "prompts",
    "geometry",
    "compat",
    "data/formats",
    "data/sa1b",
    "data/tfds",
    "evaluation/metrics",
    "evaluation/policies",
    "evaluation/suites",
)
# Their modules that follow nobody: designs of samjax's own, and how work is arranged.
OWN = {
    # Sizes, paths and registries of parameters.
    "models/config.py",
    "models/family.py",
    "models/params.py",
    # The decoder with an image's share computed once, as algebra and as programs.
    "models/amortized/algebra.py",
    "models/amortized/arrays.py",
    "models/amortized/cost.py",
    "models/amortized/decoder.py",
    # Division of the encoder's work: over a mesh, over stages of blocks.
    "models/attention/constraints.py",
    "models/attention/scanned_blocks.py",
    # Texts compared with image embeddings, and with the masks of everything mode.
    "inference/text_masks.py",
    "models/text_similarity.py",
    # Plain layers, as everywhere.
    "models/layers.py",
    # A run: its files, its memory, what of the parameters it trains.
    "training/card.py",
    "training/launch.py",
    "training/loop.py",
    "training/microbatches.py",
    "training/finetune/cached_embeddings.py",
    "training/finetune/recipe.py",
    "training/finetune/delta_file.py",
    "training/finetune/trainable.py",
    "training/initial/crops.py",
    "training/initial/informed.py",
    "training/initial/relative_tables.py",
    "training/initial/state.py",
    # Static shapes, blocks of compiled work, values between stages of it, files.
    "inference/batching.py",
    "inference/grouping.py",
    "inference/checks.py",
    "inference/embedding.py",
    "inference/many_prompts.py",
    "inference/detectors/fixed.py",
    # Evaluation without a model.
    "evaluation/policies/no_prompts.py",
    "evaluation/policies/saved_masks.py",
    "inference/automatic/incremental.py",
    "inference/automatic/schedule.py",
    "geometry/stripes.py",
    "prompts/kind.py",
    "data/formats/guards.py",
    "data/formats/label_map.py",
    "data/sa1b/headers.py",
    "data/tfds/beam.py",
    "data/tfds/build.py",
    "data/tfds/convert.py",
    "data/tfds/remote.py",
    "data/tfds/verify.py",
    # Protocols of suites, and prompts and scores that need no definition of others.
    "evaluation/metrics/calibration.py",
    "evaluation/metrics/metric.py",
    "evaluation/policies/boxes.py",
    "evaluation/policies/grid.py",
    "evaluation/policies/policy.py",
    "evaluation/suites/__init__.py",
}


def sourceless(source: str) -> list[str]:
    """Public functions and classes of a file's text that name no source."""
    module = ast.parse(source)
    if SOURCE.search(ast.get_docstring(module) or ""):
        return []
    return [
        node.name
        for node in module.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not SOURCE.search(ast.get_docstring(node) or "")
    ]


def published_files() -> Iterator[Path]:
    """Public files of the packages that implement something published."""
    for place in PUBLISHED:
        pattern = place if "*" in place else f"{place}/**/*.py"
        for path in PACKAGE.glob(pattern):
            if path.name == "__init__.py" or not path.name.startswith("_"):
                yield path


def test_what_was_published_elsewhere_is_named_as_the_source():
    missing = [
        f"{path.relative_to(ROOT)} {', '.join(names)}"
        for path in sorted(published_files())
        if str(path.relative_to(PACKAGE)) not in OWN
        and (names := sourceless(path.read_text()))
    ]
    assert not missing, (
        "no source is named: add the part of the paper, the format or the library that"
        " defines it, or the file to OWN\n" + "\n".join(missing)
    )


def test_modules_listed_as_of_samjax_alone_exist_and_need_it():
    published = {str(path.relative_to(PACKAGE)) for path in published_files()}
    assert published >= OWN
    needless = [name for name in OWN if not sourceless((PACKAGE / name).read_text())]
    assert not needless


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ('"""Losses."""\ndef f():\n    """Focal loss."""', ["f"]),
        ('"""Losses."""\nclass A:\n    pass\ndef _f(): ...', ["A"]),
        ('"""Losses (SAM, appendix A)."""\ndef f():\n    """Focal loss."""', []),
        ('"""Losses."""\ndef f():\n    """Focal loss (Lin et al., 2017)."""', []),
        ('"""RLE."""\ndef f():\n    """Counts as COCO has them."""', []),
        ('"""Masks."""\ndef f():\n    """The section of two masks."""', ["f"]),
    ],
)
def test_a_source_is_recognized(source: str, missing: list[str]):
    assert sourceless(source) == missing
