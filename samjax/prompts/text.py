"""A description of an object in words (SAM, section 2)."""

from samjax.prompts.kind import PromptKind


def check_text(problems: list[str], text: str | None) -> tuple[str | None]:
    """Checks a description; see `samjax.Prompt`."""
    if text is not None and (not isinstance(text, str) or not text.strip()):
        problems.append(f"got {text=}, expected some words, or None")
    return (text,)


# No option: none of the models has a text encoder.
TEXT = PromptKind(
    fields={"text": str}, check=check_text, count=lambda text: int(text is not None)
)
