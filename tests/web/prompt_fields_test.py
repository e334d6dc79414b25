"""The fields of a prompt are the same in Python, in the API and in the page."""

import inspect
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import samjax
from samjax import web
from samjax.prompts import KINDS, Prompt
from samjax.web.schemas import MOST_POINTS, PromptIn, PromptsUsed

PAGE = Path(web.__file__).parent / "page" / "core" / "prompts.js"
FIELDS = [name for kind in KINDS for name in kind.fields]


def test_kinds_describe_every_field_of_a_prompt():
    assert list(inspect.signature(Prompt).parameters) == FIELDS


def test_the_page_has_the_fields_of_a_prompt():
    (empty,) = re.findall(r"NO_PROMPT = Object.freeze\(\{(.*?)\}\)", PAGE.read_text())
    assert re.findall(r"(\w+):", empty) == FIELDS


@pytest.mark.parametrize("schema", [PromptIn, PromptsUsed])
def test_schemas_have_the_fields_of_a_prompt(schema):
    assert list(schema.model_fields) == FIELDS


def test_an_annotation_without_prompts_has_empty_ones():
    assert PromptsUsed().model_dump() == {
        "points": [],
        "labels": [],
        "box": None,
        "mask": False,
        "text": None,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"points": [[1, float("nan")]]},
        {"points": [[1, 2e6]]},
        {"points": [[1, 2, 3]]},
        {"points": [[1, 2]] * (MOST_POINTS + 1)},
        {"labels": [2]},
        {"labels": [1] * (MOST_POINTS + 1)},
        {"box": [1, 2, 3]},
        {"box": [0, 0, 1, float("inf")]},
        {"mask": [[0, 1]]},
        {"mask": {"size": [0, 1], "counts": ""}},
        {"text": "x" * 201},
        {"text": "a\nb"},
        {"scribble": [[1, 2]]},
    ],
)
def test_fields_out_of_bounds_are_refused(fields):
    with pytest.raises(ValidationError):
        PromptIn.model_validate(fields)


def test_the_public_prompt_is_the_described_one():
    assert samjax.Prompt is Prompt
