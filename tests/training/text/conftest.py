"""What tests of training with text share."""

import pytest

from samjax.training.text import source as source_module


@pytest.fixture
def counted(monkeypatch):
    """Calls of CLIP."""
    calls = []

    def count(*arguments, **options):
        calls.append(1)
        return embed(*arguments, **options)

    embed = source_module.embed_crops
    monkeypatch.setattr(source_module, "embed_crops", count)
    return calls
