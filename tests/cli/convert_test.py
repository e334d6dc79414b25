"""`samjax convert` on a small model."""

import jax
import numpy as np
import pytest

import samjax
from samjax import cli
from samjax.checkpoints import save


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory):
    model, params = tiny_model
    return save(
        tmp_path_factory.mktemp("weights") / "own.safetensors", model.config, params
    )


def test_weights_go_to_every_form_and_back(weights, tmp_path, capfd):
    own = weights.read_bytes()
    for form, name in (
        ("auto", "official.pth"),
        ("safetensors", "released.safetensors"),
        ("huggingface", "folder"),
    ):
        there, back = tmp_path / name, tmp_path / f"{form}.safetensors"
        assert cli.main(["convert", str(weights), str(there), "--format", form]) == 0
        assert cli.main(["convert", str(there), str(back)]) == 0
        assert back.read_bytes() == own
    assert f"{back}  " in capfd.readouterr().out


def test_a_narrower_form_is_chosen_by_name(weights, tmp_path):
    half = tmp_path / "half.safetensors"
    assert cli.main(["convert", str(weights), str(half), "--dtype", "float16"]) == 0
    assert half.stat().st_size < 0.6 * weights.stat().st_size
    narrowed, exact = (
        jax.tree.leaves(samjax.load(path)[1]) for path in (half, weights)
    )
    for got, expected in zip(narrowed, exact, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "neither a released name"),
        (b"", "wrong.pth"),
        (b"PK\x03\x04 nothing", "wrong.pth"),
    ],
)
def test_wrong_weights_leave_one_line_and_no_file(tmp_path, capfd, content, said):
    source = tmp_path / "wrong.pth"
    if content is not None:
        source.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    status = cli.main(["convert", str(source), str(tmp_path / "out.safetensors")])
    err = capfd.readouterr().err
    assert status == 1
    assert said in err and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_destination_without_a_form_is_refused(weights, tmp_path, capfd):
    assert cli.main(["convert", str(weights), str(tmp_path / "folder")]) == 1
    assert "form to write is unclear" in capfd.readouterr().err
