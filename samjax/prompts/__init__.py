"""Prompts: points, a box, a mask or text that select an object (SAM, section 2).

`prompt.Prompt` is the public class. Each kind of prompt is a file with a `PromptKind`, a
description that the options of `samjax segment` and the API's schemas are made from. A
new kind is a file here with a row in `KINDS`, an input of the prompt encoder
(`samjax.models.prompt_encoder`) that `samjax.inference.prompt_inputs` fills, and a field
in the page (`core/prompts.js`).
"""

from samjax.prompts.prompt import KINDS, Prompt

__all__ = ["KINDS", "Prompt"]
