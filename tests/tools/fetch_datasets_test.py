"""The list of the 23 sets, and downloads from a server on loopback."""

import dataclasses
import hashlib
import importlib
import sys
from pathlib import Path

import pytest
from checkpoints.conftest import server  # noqa: F401

from samjax.checkpoints import download
from samjax.evaluation.datasets.published import Download
from samjax.evaluation.datasets.sa23 import SA23

sys.path.append(str(Path(__file__).parents[2] / "tools"))
tool = importlib.import_module("fetch_datasets")

CONTENT = bytes(range(256)) * 999
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def site(server, monkeypatch):  # noqa: F811
    """A set whose one file is on the server."""
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    server.content = CONTENT

    def publish(**fields):
        file = Download(server.url, **fields)
        row = dataclasses.replace(SA23["ishape"], files=(file,))
        monkeypatch.setitem(SA23, "ishape", row)
        return server

    return publish


def run(*names, to=None):
    return tool.main(tool.Config(names=names, to=to))


def test_every_set_is_listed_with_its_page(capsys):
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 23
    assert all(
        name in line and row.page in line
        for line, (name, row) in zip(lines, SA23.items(), strict=True)
    )


def test_a_set_that_needs_registration_is_described_and_not_downloaded(
    tmp_path, capsys
):
    assert run("cityscapes", to=tmp_path) == 0
    printed = capsys.readouterr().out
    assert "registration" in printed and "not downloaded" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("known", [{}, {"size": len(CONTENT), "md5": MD5}])
def test_a_file_is_downloaded_through_cut_connections(tmp_path, site, known):
    server = site(**known)  # noqa: F811
    # The first answer tells the size, where it is not known.
    server.cuts = [100_000, 100_000, 100_000]
    assert run("ishape", to=tmp_path) == 0
    assert (tmp_path / "ishape" / "weights.pth").read_bytes() == CONTENT
    assert any(ranges for ranges in server.ranges_asked())
    sums = (tmp_path / "ishape" / "SHA256SUMS").read_text()
    assert sums == f"{hashlib.sha256(CONTENT).hexdigest()}  weights.pth\n"
    asked = len(server.requests)
    assert run("ishape", to=tmp_path) == 0
    assert len(server.requests) == asked


def test_a_file_with_another_hash_is_deleted_and_reported(tmp_path, site, capsys):
    site(md5=hashlib.md5(b"other", usedforsecurity=False).hexdigest())
    assert run("ishape", to=tmp_path) == 1
    assert "MD5" in capsys.readouterr().err
    assert not (tmp_path / "ishape" / "weights.pth").exists()


def test_a_file_that_changed_since_is_not_taken_for_the_first_one(tmp_path, site):
    site()
    assert run("ishape", to=tmp_path) == 0
    path = tmp_path / "ishape" / "weights.pth"
    path.write_bytes(CONTENT[::-1])
    assert run("ishape", to=tmp_path) == 1


def test_a_server_without_the_file_is_reported(tmp_path, site, capsys):
    site().status = [404]
    assert run("ishape", to=tmp_path) == 1
    assert "404" in capsys.readouterr().err


def test_an_unknown_name_is_refused(capsys):
    assert run("ishapes") == 2
    assert "expected one of" in capsys.readouterr().err
