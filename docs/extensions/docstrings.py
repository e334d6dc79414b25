"""Docstrings as the code has them, brought to the form that Sphinx reads.

Indented code after a blank line is a literal block, as in Markdown, and code in backticks
may be followed by a letter. Names of types that Sphinx would have to guess are no links.
"""

import builtins
import re

from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform


def mark_literal_blocks(app, what, name, obj, options, lines):
    """Puts `::` before indented code that follows a blank line."""
    marked: list[str] = []
    for index, line in enumerate(lines):
        if line == "Example:":
            # Napoleon would make a paragraph of the code below.
            marked += ["Example::", ""]
            continue
        is_start = line.startswith("    ") and (
            index == 0 or not lines[index - 1].strip()
        )
        before = next((text for text in reversed(marked) if text.strip()), "")
        is_nested = before.startswith((" ", ":", "..")) or before.endswith("::")
        if is_start and not is_nested:
            marked += ["::", ""]
        marked.append(line)
    text = re.sub(r"(``.+?``|`[^`]+`)(?=(\w?))", separate, "\n".join(marked))
    lines[:] = text.split("\n")


def separate(match):
    """Ends code in backticks before a letter, as in a plural."""
    return match[1] + ("\\ " if match[2] else "")


class PlainGuesses(SphinxPostTransform):
    """Turns references by a name alone into text, if it may be of several things.

    Sphinx looks for `bytes` or `BadImage` in all modules: it would link the type of
    Python to a field of that name, and an error that two modules have to any of them.
    """

    default_priority = 5

    def run(self, **kwargs):
        """Goes through the references of a page."""
        objects = self.env.get_domain("py").objects
        for node in list(self.document.findall(pending_xref)):
            target = node["reftarget"]
            if node["refdomain"] != "py" or "." in target:
                continue
            matches = sum(name.endswith(f".{target}") for name in objects)
            if hasattr(builtins, target) or matches > 1:
                node.replace_self(node.children)


def setup(app):
    """Runs before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", mark_literal_blocks, priority=400)
    app.add_post_transform(PlainGuesses)
    return {"parallel_read_safe": True}
