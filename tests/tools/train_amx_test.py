"""`tools/train_amx.py` on machines that lack what it needs."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setenv("SAMJAX_CACHE", str(tmp_path))
    return importlib.import_module("train_amx")


def test_a_cpu_without_the_instructions_is_told_apart(tool, monkeypatch, capsys):
    monkeypatch.setattr(tool.kernels, "is_supported", lambda: False)
    assert tool.main([]) == 2
    assert "use samjax train" in capsys.readouterr().err


def test_missing_torch_is_one_line(tool, monkeypatch, capsys):
    monkeypatch.setattr(tool.kernels, "is_supported", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert tool.main([]) == 2
    error = capsys.readouterr().err
    assert "expected torch and a C++ compiler" in error and error.count("\n") == 1
