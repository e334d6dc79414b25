"""The recipe of the mask decoder of `small` embeds every image once."""

import runpy
from pathlib import Path

from samjax.training.finetune.cached_embeddings import can_cache_embeddings

CONFIGS = Path(__file__).parents[2] / "configs/train"


def run_of(name):
    return runpy.run_path(str(CONFIGS / name))["get_config"]()


def test_embeddings_of_photos_and_scenes_are_cached(monkeypatch):
    monkeypatch.delenv("SAMJAX_PSEUDO_LABELS", raising=False)
    assert can_cache_embeddings(run_of("small_decoder.py"))
    assert not can_cache_embeddings(run_of("small.py"))


def test_half_of_the_examples_are_the_photos_of_small_with_their_weights(monkeypatch):
    monkeypatch.delenv("SAMJAX_PSEUDO_LABELS", raising=False)
    photos, whole = (
        {p.data.path: p.weight for p in run_of(name).data.parts if p.data}
        for name in ("small_decoder.py", "small.py")
    )
    scenes = [p.weight for p in run_of("small_decoder.py").data.parts if p.scenes]
    assert photos == whole
    assert sum(photos.values()) == sum(scenes)


def test_photos_under_share_alike_licences_are_left_out_of_the_textures_too():
    read = [p.data or p.textures for p in run_of("small_decoder.py").data.parts]
    assert all("5" in data.exclude_licences for data in read if data is not None)
