"""Sphinx's settings: `make docs` builds the pages and the interface's reference."""

import re

import densefuse_tf
from densefuse_tf import startup

# Quietly, before autodoc imports what needs it.
startup.import_tensorflow()

project = "densefuse_tf"
author = "the densefuse_tf authors"
release = densefuse_tf.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Links to headings of other pages are checked.
myst_heading_anchors = 4
# Single backticks in docstrings are code.
default_role = "code"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
# What is returned is told in sentences, in which a colon ends no type.
napoleon_use_rtype = False
# Quotes stay as a program takes them.
smartquotes_action = "De"

html_theme = "pydata_sphinx_theme"
html_title = f"densefuse_tf {release}"
# All pages stand at the left; the theme would put them, a line each, above.
html_theme_options = {"show_prev_next": False, "navbar_center": []}
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_sidebars = {"**": ["pages.html"]}
templates_path = ["_templates"]


# Files of other folders are pages here, too.
OUTSIDE = {
    "../CONTRIBUTING.md": "contributing.md",
    "../checkpoints/README.md": "models.md",
    "../examples/pairs/README.md": "pairs.md",
}


def link_inside(app, page, source):
    """Links to the page that includes a file, in the place of the file.

    The pages stand at the left in the order of the index's links.
    """
    for file, included in OUTSIDE.items():
        source[0] = source[0].replace(f"]({file}", f"]({included}")
    if page == "index":
        pages = dict.fromkeys(re.findall(r"\]\((\w+)\.md\)", source[0]))
        source[0] += "\n".join(["\n```{toctree}", ":hidden:", "", *pages, "```"])


def escape_bars(app, what, name, thing, options, lines):
    """Keeps |x| of a docstring's formula from being a substitution of Sphinx."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app):
    app.connect("source-read", link_inside)
    app.connect("autodoc-process-docstring", escape_bars)
