"""Files below a folder, while somebody puts links on the way to them."""

import os
import threading
from pathlib import Path

import pytest

from samjax.web import beneath

if not beneath._WALKS:
    pytest.skip("this system opens nothing below a folder", allow_module_level=True)


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder with a file in a folder, and a secret beside it with the same names."""
    for place, said in (("root", b"inside"), ("secret", b"outside")):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "a.png").write_bytes(said)
        (tmp_path / place / "sub" / "b.png").write_bytes(said)
    (tmp_path / "root" / ".hidden.png").write_bytes(b"hidden")
    (tmp_path / "secret" / "only.png").touch()
    (tmp_path / "secret" / "sub" / "only.png").touch()
    return tmp_path / "root"


def read(root: Path, name: str) -> bytes:
    with beneath.open_inside(root, name) as file:
        return file.read()


SECRET = Path("..") / "secret"
# What is put where, and by which name it is asked for.
LINKS = [
    ("a.png", SECRET / "a.png", "a.png"),
    ("sub", SECRET / "sub", "sub/b.png"),
    ("c.png", Path(".hidden.png"), "c.png"),
    ("c.png", Path("nothing.png"), "c.png"),
    ("c.png", Path("c.png"), "c.png"),
    ("c.png", Path("sub"), "c.png"),
    # A link to a folder is not followed, even where it stays inside.
    ("d", Path("sub"), "d/b.png"),
    # A link whose target is reached by a link that leads out.
    ("c.png", Path("out") / "a.png", "c.png"),
]


@pytest.mark.parametrize(("where", "target", "asked"), LINKS)
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_link_that_leads_elsewhere_opens_nothing(
    root, where, target, asked, is_absolute
):
    (root / "out").symlink_to(SECRET)
    path = root / where
    if path.is_dir():
        (path / "b.png").unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.symlink_to((root / target).absolute() if is_absolute else target)
    with pytest.raises(OSError):
        read(root, asked)
    with pytest.raises(OSError):
        beneath.open_below(root, asked)


def test_a_link_to_a_file_inside_opens_that_file(root):
    (root / "c.png").symlink_to(root / "sub" / "b.png")
    (root / "sub" / "d.png").symlink_to(Path("..") / "c.png")
    assert read(root, "c.png") == read(root, "sub/d.png") == b"inside"
    with pytest.raises(OSError):
        beneath.open_below(root, "c.png")


def test_what_is_no_regular_file_is_not_opened_and_not_waited_for(root):
    os.mkfifo(root / "pipe.png")
    for name in ("pipe.png", "sub", "nothing.png", "a.png/x.png", "nowhere/x.png"):
        with pytest.raises(OSError):
            beneath.open_below(root, name)


def test_a_folder_that_is_a_link_takes_no_file_and_lists_none(root):
    (root / "out").symlink_to(SECRET)
    for act in (
        lambda: beneath.reach(root, "out/new.png", make=True).__enter__(),
        lambda: beneath.reach(root, "out/sub/new.png", make=True).__enter__(),
        lambda: beneath.scan(root, "out").__enter__(),
        lambda: beneath.scan(root, "a.png").__enter__(),
    ):
        with pytest.raises(OSError):
            act()
    with beneath.scan(root, "sub") as entries:
        assert [entry.name for entry in entries] == ["b.png"]


# A file, and the folder that it is in, by turns itself and a link to the secret one.
@pytest.mark.parametrize(
    ("swapped", "asked"), [("a.png", "a.png"), ("sub", "sub/b.png")]
)
def test_while_a_link_is_swapped_nothing_outside_is_read_listed_or_written(
    root, swapped, asked
):
    keep, link = root / ".keep", root / ".link"
    (root / swapped).rename(keep)
    link.symlink_to(SECRET / swapped)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for own in (keep, link):
                own.rename(root / swapped)
                (root / swapped).rename(own)

    thread = threading.Thread(target=swap)
    thread.start()
    found = set()
    try:
        for number in range(1500):
            try:
                found.add(read(root, asked))
                with beneath.reach(root, f"{asked}{number}") as place:
                    made = os.open(
                        place.name, os.O_CREAT | os.O_WRONLY, dir_fd=place.folder
                    )
                    os.close(made)
                with beneath.scan(root, os.path.dirname(asked)) as entries:
                    found.update(
                        b"outside" for entry in entries if entry.name == "only.png"
                    )
            except OSError:
                pass
    finally:
        stop.set()
        thread.join()
    assert found <= {b"inside"}
    names = {path.name for path in (root / SECRET).resolve().rglob("*")}
    assert names == {"a.png", "sub", "b.png", "only.png"}
