"""Prompts with captions: right ones, those of other objects, none, and with a click.

Text prompts, and text with a point where it fails, are those of SAM, section 7.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from samjax.evaluation.policies.click_rule import next_click
from samjax.evaluation.policies.policy import (
    PROMPTS_PER_CALL,
    Response,
    Round,
    Session,
)
from samjax.evaluation.segmenter import PromptKind
from samjax.prompts import Prompt


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Captions of `Sample.truth["captions"]`, one for each object.

    `Sample.truth["other_captions"]`, if it is there, has a wrong one for each, and
    `Sample.truth["absent"]` one of something that is not in the image.

    The rounds are `text`, the best-ranked mask of three for an object's caption;
    `wrong_text`, the same for the caption of another object of the image, which is chance
    for a model that ignores what a text says; `no_text`, for an empty prompt; `click`, for
    a click on the centre of the object; and `text_click`, the single mask of both. Where
    texts describe several instances (`Sample.truth["all_instances"]`), `text_all` is the
    single mask for the text. `absent`, for texts of what is not there, has no IoU.

    Attributes:
        seed: Seed of the choice of other objects.
    """

    seed: int = 0

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """Texts and points."""
        return frozenset(("text", "points"))

    def _others(self, captions: Sequence[str]) -> list[str]:
        """Returns for each object the caption of another one."""
        count = len(captions)
        steps = np.random.default_rng(self.seed).integers(1, count, count)
        return [captions[int(index + step) % count] for index, step in enumerate(steps)]

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields the masks of all objects, one kind of prompt after the other."""
        captions = session.sample.truth["captions"]
        targets = session.targets()
        others = session.sample.truth.get("other_captions") or self._others(captions)
        clicks = [next_click(target) for target in targets]
        points = [[] if c is None else [[c.x + 0.5, c.y + 0.5]] for c in clicks]
        rounds: list[tuple[str, bool, Callable[[int], Prompt]]] = [
            ("text", True, lambda i: Prompt(text=captions[i])),
            ("wrong_text", True, lambda i: Prompt(text=others[i])),
            ("no_text", True, lambda i: Prompt()),
            ("click", True, lambda i: Prompt(points=points[i])),
            (
                "text_click",
                False,
                lambda i: Prompt(text=captions[i], points=points[i]),
            ),
        ]
        if session.sample.truth.get("all_instances"):
            rounds.insert(1, ("text_all", False, lambda i: Prompt(text=captions[i])))
        absent = session.sample.truth.get("absent", ())
        if absent:
            rounds.append(("absent", True, lambda i: Prompt(text=absent[i])))
        for name, multimask, make in rounds:
            is_there = name != "absent"
            for start in range(0, len(targets), PROMPTS_PER_CALL):
                indices = range(start, min(start + PROMPTS_PER_CALL, len(targets)))
                prompts = [make(index) for index in indices]
                responses = [
                    Response(
                        index,
                        prompt,
                        prediction,
                        multimask,
                        targets[index] if is_there else None,
                        session.sample.ignored,
                    )
                    for index, prompt, prediction in zip(
                        indices, prompts, session.predict(prompts), strict=True
                    )
                ]
                yield Round(name, responses, is_scored=is_there, has_oracle=multimask)
