project = "One-shot learning on Omniglot"
root_doc = "README"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.apidoc",
]
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**"]
html_theme = "furo"
myst_heading_anchors = 6
default_role = "code"
apidoc_modules = [{"path": "../oneshot", "destination": "api", "max_depth": 4}]
