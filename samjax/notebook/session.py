"""State of a clicker: the accepted objects and the prompt in progress, as JSON and typed.

The front end sends the whole state at every change, so that a message that is lost or
repeated does no harm. All coordinates are in pixels of the original image, upright, with
(0, 0) at its upper left corner and a pixel's centre at +0.5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from samjax.inference import Prompt

# The model was trained on at most a few dozen; thousands are a fault of the sender.
MOST_POINTS = 1000
MOST_OBJECTS = 10_000

_FIELDS = ("points", "labels", "box", "choice")


@dataclasses.dataclass(frozen=True)
class ObjectState:
    """Prompts of one object, and which of its predicted masks is meant. Hashable.

    Attributes:
        points: (x, y) of each point.
        labels: 1 for a foreground, 0 for a background point.
        box: Left, top, right, bottom; or None.
        choice: Index into `Masks` of the prompt; None for the mask of the best score.
    """

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, ...] | None = None
    choice: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a point nor a box."""
        return not self.points and self.box is None

    @property
    def prompt(self) -> Prompt:
        """The prompt, without the choice of a mask."""
        return Prompt(
            points=[list(point) for point in self.points],
            labels=list(self.labels),
            box=None if self.box is None else list(self.box),
        )

    def without_choice(self) -> ObjectState:
        """Returns the key of its prediction, which does not depend on the choice."""
        return dataclasses.replace(self, choice=None)

    def to_json(self) -> dict[str, Any]:
        """Returns the object as the front end has it."""
        return {
            "points": [list(point) for point in self.points],
            "labels": list(self.labels),
            "box": None if self.box is None else list(self.box),
            "choice": self.choice,
        }


@dataclasses.dataclass(frozen=True)
class Session:
    """The state of a clicker.

    Attributes:
        objects: The accepted objects, the oldest first.
        current: The object in progress; empty if there is none.
    """

    objects: tuple[ObjectState, ...] = ()
    current: ObjectState = ObjectState()

    def to_json(self) -> dict[str, Any]:
        """Returns the state as the front end has it."""
        return {
            "objects": [one.to_json() for one in self.objects],
            "current": self.current.to_json(),
        }


def state_of(prompt: Prompt, choice: int | None = None) -> ObjectState:
    """Returns the state of a prompt.

    Raises:
        ValueError: The prompt has a mask or a text, which the widget does not hold.
    """
    if prompt.mask is not None or prompt.text is not None:
        name = "mask" if prompt.mask is not None else "text"
        raise ValueError(
            f"got a prompt with a {name}, expected points and a box: call "
            "predictor.predict for other prompts"
        )
    return ObjectState(
        points=tuple((float(x), float(y)) for x, y in prompt.points),
        labels=tuple(int(label) for label in prompt.labels),
        box=None if prompt.box is None else tuple(float(side) for side in prompt.box),
        choice=choice,
    )


def parse_session(value: Any) -> Session:
    """Parses the state that a front end sent.

    Raises:
        ValueError: It is not a state; the message says what was got and expected.
    """
    fields = _fields(value, ("objects", "current"), "the state")
    objects = _list(fields["objects"], "objects", MOST_OBJECTS)
    accepted = tuple(
        _parse_object(one, f"objects[{index}]") for index, one in enumerate(objects)
    )
    for index, one in enumerate(accepted):
        if one.is_empty:
            raise ValueError(
                f"objects[{index}]: got neither points nor a box, expected one of them"
            )
    return Session(accepted, _parse_object(fields["current"], "current"))


def _parse_object(value: Any, path: str) -> ObjectState:
    fields = _fields(value, _FIELDS, path)
    _list(fields["points"], f"{path}.points", MOST_POINTS)
    _list(fields["labels"], f"{path}.labels", MOST_POINTS)
    choice = fields["choice"]
    if choice is not None and not _is_index(choice):
        raise ValueError(
            f"{path}.choice: got {choice!r}, expected the index of a mask, or null"
        )
    try:
        prompt = Prompt(
            points=fields["points"], labels=fields["labels"], box=fields["box"]
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return state_of(prompt, choice)


def _fields(value: Any, names: Sequence[str], path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004
            f"{path}: got {_kind(value)}, expected an object with {', '.join(names)}"
        )
    missing = [name for name in names if name not in value]
    if missing:
        raise ValueError(f"{path}: {', '.join(missing)} missing")
    return value


def _list(value: Any, path: str, most: int) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(  # noqa: TRY004
            f"{path}: got {_kind(value)}, expected a list"
        )
    if len(value) > most:
        raise ValueError(f"{path}: got {len(value)} entries, expected at most {most}")
    return value


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 3


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
