"""A description of an object in words (SAM, section 2)."""

from samjax.prompts.kind import Option, PromptKind


def check_text(problems: list[str], text: str | None) -> tuple[str | None]:
    """Checks a description; see `samjax.Prompt`."""
    if text is not None and (not isinstance(text, str) or not text.strip()):
        problems.append(f"got {text=}, expected some words, or None")
    return (text,)


def _read_text(text: str) -> str:
    if not text.strip():
        raise ValueError('expected some words, such as "a wheel"')
    return text


TEXT = PromptKind(
    fields={"text": str},
    check=check_text,
    count=lambda text: int(text is not None),
    option=Option(
        name="text",
        metavar="WORDS",
        help="A description of an object in words, for models with a text tower.",
        read=_read_text,
        fields=lambda texts: {"text": texts[0]},
        record=lambda texts: {"text": texts[0] if texts else None},
        words=lambda text: f"text {text!r:.80}",
    ),
)
