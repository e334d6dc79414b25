"""The sizes of SAM with a text tower (SAM, section 7.5)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from samjax.models.config import SamArchitecture, SamConfig
from samjax.models.params import PARTS, TEXT_ENCODER

# Ids of a vocabulary of words beside those of the words: padding, a word that is not in
# it, start and end.
EXTRA_IDS = 4
TOWERS = ("clip", "siglip")
# Fields that files of earlier versions lack, with the value that they had.
LATER_FIELDS = {"text_similarity_width": 0, "text_tower": "clip", "text_vocabulary": ""}


@dataclass(frozen=True, kw_only=True)
class TextSamArchitecture(SamArchitecture):
    """The sizes of SAM and of its text tower.

    Attributes:
        text_embed_dim: Width of the vector of a text.
        text_width: Channels of the text tower's tokens.
        text_depth: Blocks of the text tower.
        text_heads: Attention heads of a block of it.
        text_mlp_dim: Hidden width of its MLPs.
        vocab_size: Tokens of the vocabulary.
        context_length: The most tokens of a text, those of start and end included.
        quick_gelu: Whether its MLPs have the quick GELU, as OpenAI's models.
        words: The vocabulary of a small tower, whole words in lower case; none for
            CLIP's byte pairs.
        text_tower: "clip" or "siglip".
        text_vocabulary: The vocabulary of SigLIP's tower, a string of
            `samjax.text.pack_vocabulary`; "" for CLIP's, and for a SigLIP that texts are
            given to as token ids.
        text_similarity_width: Hidden width of `TextSimilarity`, samjax's addition; 0 for
            SAM's text prompts, which are a token alone.
    """

    text_embed_dim: int
    text_width: int
    text_depth: int
    text_heads: int
    text_mlp_dim: int
    vocab_size: int = 49_408
    context_length: int = 77
    quick_gelu: bool = True
    words: tuple[str, ...] = ()
    text_tower: str = "clip"
    # As long as a book.
    text_vocabulary: str = field(default="", repr=False)
    text_similarity_width: int = 0

    parts: ClassVar[tuple[str, ...]] = (*PARTS, TEXT_ENCODER)
    # No embedding of an image depends on them.
    decoder_fields: ClassVar[tuple[str, ...]] = (
        *SamArchitecture.decoder_fields,
        "text_embed_dim",
        "text_width",
        "text_depth",
        "text_heads",
        "text_mlp_dim",
        "vocab_size",
        "context_length",
        "quick_gelu",
        "words",
        "text_tower",
        "text_vocabulary",
        "text_similarity_width",
    )

    @property
    def text_dim(self) -> int:
        """Width of the vectors of texts that the prompt encoder takes."""
        return self.text_embed_dim

    @property
    def similarity_width(self) -> int:
        """Hidden width of the comparison of images with texts; 0 for none."""
        return self.text_similarity_width

    @property
    def num_repeats(self) -> int:
        """The most times that a module is repeated; the tensors are at least as many."""
        return max(super().num_repeats, self.text_depth)

    def as_fields(self) -> dict[str, Any]:
        """Returns the fields by name, as files and hashes have them.

        Fields of later versions are included only where they have a value, so that files
        and hashes of models without them are those of versions before the field.
        """
        fields = super().as_fields()
        return {
            name: value
            for name, value in fields.items()
            if name not in LATER_FIELDS or value != LATER_FIELDS[name]
        }

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes."""
        problems = super().problems()
        if problems:
            return problems
        if self.text_width % self.text_heads:
            problems.append(
                f"text_width is {self.text_width}, expected a multiple of text_heads, "
                f"{self.text_heads}"
            )
        if self.text_tower not in TOWERS:
            problems.append(
                f"text_tower is {self.text_tower!r:.80}, expected {' or '.join(TOWERS)}"
            )
        elif self.words and self.text_tower != "clip":
            problems.append("words are for towers of the kind clip, with an end token")
        elif self.text_vocabulary and self.text_tower == "clip":
            problems.append("text_vocabulary is for siglip: CLIP's is in samjax")
        if self.words and self.vocab_size != len(self.words) + EXTRA_IDS:
            problems.append(
                f"vocab_size is {self.vocab_size}, expected {EXTRA_IDS} more than its "
                f"{len(self.words)} words"
            )
        return problems


@dataclass(frozen=True, kw_only=True)
class TextSamConfig(TextSamArchitecture, SamConfig):
    """The architecture and how it is run in training; all fields of both."""
