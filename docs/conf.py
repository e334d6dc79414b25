"""Configuration of the documentation site: `make docs` builds it, warnings are errors."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS / "extensions"))
sys.path.insert(0, str(ROOT))

import samjax

project = "samjax"
author = "the samjax contributors"
copyright = f"{author}, Apache License 2.0"
release = version = samjax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_nb",
    # Of this folder.
    "docstrings",
    "reference_pages",
    "notebook_pages",
]

# README.md is the list of pages for those who read the folder on a code host.
exclude_patterns = ["README.md", "_build", "_extra"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
# Links to headings, page.md#heading, as a code host resolves them.
myst_heading_anchors = 4

# Docstrings have code in single backticks.
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Otherwise every entry of `Attributes:` of a dataclass is described twice.
napoleon_use_ivar = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80

# Every reference to a name of samjax has to resolve; other projects' have no page here.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!samjax(\.|$)).*"),
    # Type variables, and names that start with an underscore.
    ("py:.*", r"samjax\..*\.(T|Sampled|_\w+)"),
]

# The tests run the notebooks; pages show the outputs that the files have.
nb_execution_mode = "off"
nb_merge_streams = True

html_theme = "furo"
html_title = "samjax"
html_static_path = ["static"]
html_css_files = ["samjax.css"]
html_js_files = [("demo.js", {"defer": "defer"})]
html_extra_path = ["_extra"]
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#1f6feb",
        "color-brand-content": "#1a5fc9",
    },
    "dark_css_variables": {
        "color-brand-primary": "#79b0ff",
        "color-brand-content": "#79b0ff",
    },
}
