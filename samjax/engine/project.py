"""The folder of a team's project: images, the store, settings and instructions.

DIR/project.json            settings, with defaults for what it leaves out
DIR/instructions.md         shown in the page
DIR/images                  the images
DIR/annotations.sqlite3     masks, tasks and people
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samjax.engine.annotations.team import TeamRules
from samjax.files import json_object, json_text, replacing

SETTINGS = "project.json"
IMAGES = "images"
DATABASE = "annotations.sqlite3"

_LONGEST_INSTRUCTIONS = 1 << 18
_INSTRUCTIONS = """# Instructions

- Annotate what you could name, things and stuff, the most prominent first.
- Move on when a mask takes more than 30 seconds.
- An image without objects is done without a mask.
"""


@dataclass(frozen=True, kw_only=True)
class Project:
    """Settings of a team's project, as `project.json` has them.

    Attributes:
        name: Name of the project.
        instructions: File of the instructions in the project's folder, Markdown.
        blind: Whether reviewers are not told who made what.
        review_share: Share of the finished images that are reviewed.
        least_review_share: Share to which that of a person falls as their images are
            accepted.
        agreement_share: Share of the images that two people annotate.
        gold_share: Share of the handed out images that are gold.
        gold_images: Names of the images with trusted masks.
        hint_seconds: Seconds on one mask after which the page suggests to move on.
        lease_minutes: Minutes after the last saved mask for which an image stays with
            its person.
        labels: Labels to offer.
        round: Round of the data engine, written to every mask.
        stage: Stage of the data engine, written to every mask.
        seed: Seed of the order of images, and of what is handed out twice or is gold.
    """

    name: str = ""
    instructions: str = "instructions.md"
    blind: bool = False
    review_share: float = 1.0
    least_review_share: float = 1.0
    agreement_share: float = 0.0
    gold_share: float = 0.0
    gold_images: tuple[str, ...] = ()
    hint_seconds: float = 30.0
    lease_minutes: float = 30.0
    labels: tuple[str, ...] = ()
    round: int = 0
    stage: int = 1
    seed: int = 0

    @property
    def rules(self) -> TeamRules:
        """The shares of reviews, of images annotated twice and of gold images."""
        return TeamRules(
            review=self.review_share,
            least_review=self.least_review_share,
            agreement=self.agreement_share,
            gold=self.gold_share,
            gold_images=self.gold_images,
            seed=self.seed,
        )


def open_project(folder: Path) -> Project:
    """Returns the project of a folder; files that are missing are made.

    Raises:
        ValueError: The settings cannot be used; the message names the first problem.
        OSError: A file cannot be read or written.
    """
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if not path.exists():
        project = Project(name=folder.resolve().name)
        _write(path, json_text(dataclasses.asdict(project), indent=2) + "\n")
        if not (folder / project.instructions).exists():
            _write(folder / project.instructions, _INSTRUCTIONS)
    try:
        return _parsed(json_object(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_instructions(folder: Path, project: Project) -> str:
    """Returns a project's instructions; empty where the file is missing.

    Raises:
        ValueError: The file is outside the project's folder, too long, or not UTF-8.
        OSError: It cannot be read.
    """
    path = (folder / project.instructions).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{project.instructions} is not in the project's folder")
    if not path.is_file():
        return ""
    content = path.read_bytes()
    if len(content) > _LONGEST_INSTRUCTIONS:
        raise ValueError(
            f"{path.name} has {len(content)} bytes, expected at most "
            f"{_LONGEST_INSTRUCTIONS}"
        )
    return content.decode()


def _parsed(content: dict[str, Any]) -> Project:
    fields = {field.name: field for field in dataclasses.fields(Project)}
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name not in fields:
            raise ValueError(f"got the setting {name!r}, expected {', '.join(fields)}")
        values[name] = _checked(name, value, fields[name].default)
    return Project(**values)


def _checked(name: str, value: Any, default: Any) -> Any:
    """Returns a setting if it has the type of its default, and is in its bounds."""
    if isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(value)
        raise ValueError(f"got {value!r} for {name}, expected a list of strings")
    if isinstance(default, bool) or isinstance(value, bool):
        if isinstance(default, bool) and isinstance(value, bool):
            return value
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise ValueError(f"got {value!r} for {name}, expected {kind}")
    if isinstance(default, str):
        if isinstance(value, str):
            return value
        raise ValueError(f"got {value!r} for {name}, expected a string")
    kinds = int if isinstance(default, int) else (int, float)
    most = 1 if name.endswith("_share") else 1_000_000
    if not isinstance(value, kinds) or not 0 <= value <= most:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ValueError(f"got {value!r} for {name}, expected {kind} from 0 to {most}")
    if name == "lease_minutes" and value <= 0:
        raise ValueError(f"got {value!r} for {name}, expected more than 0")
    return type(default)(value)


def _write(path: Path, text: str) -> None:
    with replacing(path) as hidden:
        hidden.write_text(text)
