"""Sphinx: README, the pages of docs/ and the API as one site, which takes nothing from the network."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

import oneshot

ROOT = Path(__file__).resolve().parent.parent
SECTION = re.compile(r"[A-Z]\w+:")
LINK = re.compile(r"\[([^\]]+)\]\(([^)#:\s]+)\)")

project = "One-shot learning on Omniglot"
root_doc = "README"  # of the checkout itself, so that links between files hold as they are written
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**"]
exclude_patterns = ["docs/*.ipynb", "docs/api/modules.rst"]
extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
suppress_warnings = ["ref.python"]  # of names in shapes, such as Int[np.ndarray, "pairs"], which are no links
html_theme = "furo"
html_title = project
html_copy_source = False
myst_heading_anchors = 4
default_role = "code"
autodoc_inherit_docstrings = False
autodoc_default_options = {"exclude-members": "model_config"}
apidoc_modules = [
    {
        "path": "../oneshot",
        "destination": "docs/api",
        "automodule_options": {"members", "show-inheritance"},
    }
]
CONTENTS = """

```{{toctree}}
:hidden:
{pages}
docs/api/oneshot
```
"""


def read_source(app: Any, name: str, source: list[str]) -> None:
    """Put the list of pages behind the README, and take links to folders, which a site has not, off."""

    def unlink(link: re.Match[str]) -> str:
        return link[1] if ((ROOT / name).parent / link[2]).is_dir() else link[0]

    source[0] = LINK.sub(unlink, source[0])
    if name == root_doc:
        pages = [path.stem for path in sorted((ROOT / "docs").glob("*.md"))]
        listed = [*(f"docs/{page}" for page in pages), "CONTRIBUTING", "CHANGELOG"]
        source[0] += CONTENTS.format(pages="\n".join(listed))


def read_docstring(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Keep reStructuredText from reading more into a docstring than sections and `code`."""
    in_section = False
    for number, line in enumerate(lines):
        if line and not line[0].isspace():
            in_section = bool(SECTION.fullmatch(line))
        elif not in_section:
            line = line.strip()
        parts = line.replace("``", "`").split("`")
        parts[::2] = [re.sub(r"([*|\\]|_\b)", r"\\\1", part) for part in parts[::2]]
        lines[number] = "`".join(parts)


def setup(app: Any) -> None:
    # All first: autodoc changes annotations of classes, which pydantic would read for those below them.
    for module in pkgutil.walk_packages(oneshot.__path__, "oneshot."):
        import_module(module.name)
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", read_docstring, priority=100)
