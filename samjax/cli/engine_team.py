"""`samjax engine people|images|statistics`: the people of a team, and their numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from samjax.cli import UsageError
from samjax.cli.progress import counted

if TYPE_CHECKING:
    from samjax.engine.annotations import AnnotationStore


@dataclass(frozen=True, kw_only=True)
class People:
    """Adds people to a team's project, gives them new tokens, and deletes their names.

    A token is printed once, and stored as a hash. Roles: an annotator annotates, a
    reviewer reviews what others made too, the owner may do everything. Removing a person
    replaces the name by a pseudonym everywhere; the masks stay.
    """

    action: tyro.conf.Positional[Literal["add", "renew", "remove", "list"]]
    """The change; renew prints a new token, and the old one is no longer valid."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")] = ""
    """Name of the person."""

    role: Literal["annotator", "reviewer", "owner"] = "annotator"
    """Role of a person who is added."""

    engine: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path(".")
    """The project's folder; made by the first person who is added."""

    yes: bool = False
    """Confirms remove, which cannot be undone."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Deletes an image of a team's project: file, masks, history, tasks and caches."""

    action: tyro.conf.Positional[Literal["remove"]]
    """The change."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """Path of the image in the project's folder of images."""

    engine: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path(".")
    """The project's folder."""

    yes: bool = False
    """Confirms it; it cannot be undone."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Prints a team's numbers by person, round and model; all columns as CSV."""

    project: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """The project's folder."""

    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Writes all columns to this file."""

    names: bool = False
    """Names people by their names, not by pseudonyms."""

    overwrite: bool = False
    """Replaces an existing file."""


def run_people(options: People) -> None:
    """Runs `samjax engine people`.

    Raises:
        UsageError: The name is missing.
    """
    from samjax.engine.annotations.people import People as Directory
    from samjax.engine.project import open_project

    if options.action != "list" and not options.name:
        raise UsageError(f"people {options.action}: expected a name")
    if options.action == "add":
        open_project(options.engine)
    with _store(options.engine, is_new=options.action == "add") as store:
        people = Directory(store.database)
        match options.action:
            case "add":
                _show_token(options, people.add(options.name, options.role))
            case "renew":
                _show_token(options, people.renew(options.name))
            case "remove":
                _remove_person(options, people)
            case "list":
                for person in people.all():
                    state = " (removed)" if person.is_removed else ""
                    print(f"{person.name}  {person.role}  {person.pseudonym}{state}")


def run_images(options: Images) -> None:
    """Runs `samjax engine images`."""
    from samjax.engine.erasing import erase_image
    from samjax.engine.project import IMAGES
    from samjax.files import cache_folder

    _confirm(options.yes, f"{options.name}, its masks and their history are deleted")
    with _store(options.engine) as store:
        removed = erase_image(
            store, options.engine / IMAGES, options.name, cache_folder() / "serve"
        )
    print(
        f"{options.name} is deleted, with {counted(removed['masks'], 'mask')}, "
        f"{counted(removed['tasks'], 'task')} and "
        f"{counted(removed['cached'], 'cached file')}"
    )
    _name_copies(options.engine, "the image's masks")


def run_statistics(options: Statistics) -> None:
    """Runs `samjax engine statistics`.

    Raises:
        UsageError: The CSV file exists, and is not to be replaced.
    """
    from samjax.engine.annotations.people import People as Directory
    from samjax.engine.team_statistics import statistics_csv, team_statistics

    csv = options.csv
    if csv is not None and csv.exists() and not options.overwrite:
        raise UsageError(f"--csv {csv} exists: give --overwrite to replace it")
    with _store(options.project) as store:
        table = team_statistics(store.database)
        names = Directory(store.database).pseudonyms()
    shown = str if options.names else names.__getitem__
    for group, rows in table.items():
        print(_table(group, rows, shown if group == "person" else str))
    if csv is not None:
        from samjax.files import replacing

        with replacing(csv) as hidden:
            hidden.write_text(statistics_csv(table, shown))
        print(csv)


@contextlib.contextmanager
def _store(folder: Path, *, is_new: bool = False) -> Iterator[AnnotationStore]:
    from samjax.engine.annotations import AnnotationStore
    from samjax.engine.project import DATABASE

    path = folder / DATABASE
    if not is_new and not path.exists():
        raise UsageError(
            f"{path} does not exist: expected the folder of a project; samjax engine "
            "people add NAME --role owner --engine DIR makes one"
        )
    store = AnnotationStore(path)
    try:
        yield store
    finally:
        store.close()


def _show_token(options: People, token: str) -> None:
    print(f"{options.name} signs in with the token {token}")
    print("It is not shown again. In a browser: the server's address, then")
    print(f"/?token={token}")


def _remove_person(options: People, people: Any) -> None:
    _confirm(options.yes, f"the name {options.name} is deleted everywhere")
    print(f"the work of {options.name} is {people.remove(options.name)}'s now")
    _name_copies(options.engine, "the name")


def _confirm(yes: bool, what: str) -> None:
    if not yes:
        raise UsageError(f"{what}, and nothing can bring it back: give --yes")


def _name_copies(folder: Path, what: str) -> None:
    """Names the copies of the database that still have what was deleted."""
    for path in sorted(folder.glob("annotations.version-*.sqlite3")):
        print(f"note: {path}, the copy of an older version, still has {what}")
    print(
        f"note: snapshots, exports and backups that were made before still have {what}"
    )


_SHOWN = {
    "images_done": ("images", "{}"),
    "masks": ("masks", "{}"),
    "active_seconds_median": ("active s a mask", "{:.1f}"),
    "clicks_mean": ("clicks", "{:.1f}"),
    "accepted": ("accepted", "{}"),
    "fixed": ("fixed", "{}"),
    "returned": ("returned", "{}"),
    "gold_iou": ("gold IoU", "{:.3f}"),
    "agreement_iou": ("agreement", "{:.3f}"),
}


def _table(group: str, rows: list[dict[str, Any]], shown: Any) -> str:
    titles = [group, *(title for title, _ in _SHOWN.values())]
    cells = [titles]
    for row in rows:
        name = str(shown(row["name"]))[:24]
        values = [
            "-" if row[column] is None else form.format(row[column])
            for column, (_, form) in _SHOWN.items()
        ]
        cells.append([name, *values])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0])]
            + [
                cell.rjust(width)
                for cell, width in zip(line[1:], widths[1:], strict=True)
            ]
        )
        for line in cells
    ]
    return "\n".join([*lines, ""])
