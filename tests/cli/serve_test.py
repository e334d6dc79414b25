"""`samjax serve` up to where it listens; `tests/web/serving_test.py` has the rest."""

import sqlite3
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from samjax import cli
from samjax.checkpoints import save
from samjax.cli import serve as command
from samjax.engine.annotations.tables import VERSION
from samjax.web import page, serving


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory) -> Path:
    model, params = tiny_model
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return save(path, model.config, params)


@pytest.fixture
def started(monkeypatch):
    """Returns the arguments of the server instead of serving."""
    found = []

    def note(app, own, when_ready):
        own.listen()
        when_ready()
        found.append(app.state.services)
        app.state.services.close()

    monkeypatch.setattr(serving, "serve", note)
    return found


@pytest.fixture
def serve(weights, tmp_path, capfd, monkeypatch):
    """Runs the command on `tmp_path/images`; returns its status, output and errors."""
    monkeypatch.setenv("SAMJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SAMJAX_TOKEN", raising=False)

    def run(*words, folder=tmp_path / "images"):
        words = ["serve", folder, "--model", weights, "--port", "0", *words]
        status = cli.main([str(word) for word in words])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_it_prints_where_it_listens_and_makes_its_folders(serve, started, tmp_path):
    status, out, err = serve("--api-only", "--label", "cat", "--label", "dog")
    assert (status, err) == (0, "")
    assert f"serving {tmp_path / 'images'} at http://127.0.0.1:" in out
    assert "token" not in out and ":0/" not in out
    (services,) = started
    assert services.settings.labels == ("cat", "dog")
    assert services.settings.token is None and services.decoder is None
    assert (tmp_path / "images" / ".samjax" / "annotations.sqlite3").is_file()


def test_beyond_this_machine_there_is_always_a_token(serve, started, monkeypatch):
    status, out, _ = serve("--api-only", "--host", "0.0.0.0")
    token = started[0].settings.token
    assert status == 0 and len(token) >= 32 and f"?token={token}" in out
    serve("--api-only", "--host", "0.0.0.0")
    assert started[1].settings.token != token
    monkeypatch.setenv("SAMJAX_TOKEN", "mine")
    _, out, _ = serve("--api-only", "--host", "0.0.0.0")
    assert started[2].settings.token == "mine" and "?token=mine" in out
    serve("--api-only", "--token", "given")
    assert started[3].settings.token == "given"


def test_the_state_can_be_elsewhere(serve, started, tmp_path):
    status, _, _ = serve("--api-only", "--state", tmp_path / "masks")
    assert status == 0
    assert (tmp_path / "masks" / "annotations.sqlite3").is_file()
    assert not (tmp_path / "images" / ".samjax").exists()


def test_the_decoder_is_exported_for_the_page_once(
    serve, started, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "page"
    monkeypatch.setattr(page, "page_folder", lambda: folder)
    status, _, err = serve()
    assert status == 1 and err.count("\n") == 1
    assert "index.html is missing" in err and "make page" in err and "--api-only" in err
    (folder / "vendor").mkdir(parents=True)
    for name in ("index.html", *(f"vendor/{name}" for name in page.RUNTIME)):
        (folder / name).write_text("x")
    said = [serve("--storage", "float32")[1].count("exporting") for _ in range(2)]
    assert said == [1, 0]
    assert started[0].decoder == started[1].decoder
    assert started[0].decoder.storage == "float32"


def refused(folder: Path, *, monkeypatch, error: OSError):
    def refuse(path):
        raise error

    monkeypatch.setattr("samjax.cli.serve.make_folder", refuse)


def test_a_folder_that_cannot_be_written_is_said_before_the_model_is_loaded(
    serve, started, tmp_path, monkeypatch
):
    error = OSError(30, "Read-only file system", str(tmp_path))
    refused(tmp_path, monkeypatch=monkeypatch, error=error)
    monkeypatch.setattr("samjax.cli.serve.load_predictor", None)
    status, _, err = serve("--api-only")
    assert status == 1 and not started and err.count("\n") == 1
    assert "read-only file system" in err and "--state DIR" in err


def test_a_port_in_use_is_one_line_before_the_model_is_loaded(
    serve, started, monkeypatch
):
    monkeypatch.setattr("samjax.cli.serve.load_predictor", None)
    with serving.bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = serve("--api-only", "--port", port)
    assert status == 1 and err.count("\n") == 1
    assert f"port {port}" in err and "in use" in err and "--port" in err


def test_masks_of_a_newer_samjax_are_left_alone(serve, started, tmp_path):
    serve("--api-only")
    path = tmp_path / "images" / ".samjax" / "annotations.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    status, _, err = serve("--api-only")
    assert status == 1 and len(started) == 1 and err.count("\n") == 1
    assert "newer samjax" in err


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "onnx"])
def test_what_is_not_installed_is_named_in_one_line(serve, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    status, _, err = serve()
    assert status == 1 and err.count("\n") == 1
    assert f"needs {missing}: run pip install 'samjax[web]'" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "99999"], "0 to 65535"),
        (["--upload-limit", "0"], "at least 1"),
        (["--token", ""], "is empty"),
        (["--open", "--api-only"], "no page"),
        (["--storge", "int8"], "--storage"),
        (["more"], "more"),
    ],
)
def test_bad_words_end_in_one_line(serve, words, said):
    status, _, err = serve(*words)
    assert status == 2 and err.count("\n") == 1 and said in err


def test_a_cache_that_cannot_be_written_keeps_nobody_from_annotating(
    tmp_path, monkeypatch, capsys
):
    asked = []

    def obtain(predictor, folder, *, storage, before_export):
        asked.append(folder)
        if folder.is_relative_to(tmp_path):
            raise OSError(30, "Read-only file system", str(folder))
        return f"the decoder with weights as {storage}"

    monkeypatch.setattr("samjax.web.decoder_cache.obtain_decoder", obtain)
    found = command._decoder(command.Serve(storage="int8"), tmp_path, None)
    assert found == "the decoder with weights as int8"
    assert asked[0] == tmp_path / "decoders" and len(asked) == 2
    said = capsys.readouterr().out
    assert "read-only file system" in said and "SAMJAX_CACHE" in said
