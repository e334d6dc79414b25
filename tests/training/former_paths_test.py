"""Paths that configs and scripts of before import from."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("former", "name", "path"),
    [
        ("lora", "LoraConfig", "finetune.lora"),
        ("lora", "merge_lora", "finetune.lora"),
        ("trained_file", "load_trained", "finetune.delta_file"),
        ("bad_data", "BadData", "runtime.bad_data"),
        ("bad_data", "TooManyBadExamples", "runtime.bad_data"),
    ],
)
def test_former_paths_have_the_same_objects(former, name, path):
    before, now = (
        importlib.import_module(f"samjax.training.{module}")
        for module in (former, path)
    )
    assert getattr(before, name) is getattr(now, name)
