"""The site of the docs, the notebook, and what hosts run: built, executed, parsed."""

import html.parser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs/quickstart.ipynb"
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", "docs"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", ".", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in tmp_path.glob("site/**/*.html")}
    assert {"README.html", "docs/results.html", "docs/parameters.html", "docs/api/oneshot.html"} <= pages
    assert "oneshot.library.load_scenes" in (tmp_path / "site/docs/api/oneshot.html").read_text()
    outside = [
        f"{page}: {address}"
        for page in sorted(pages)
        for address in loaded_by((tmp_path / "site" / page).read_text(encoding="utf-8"))
        if address.startswith(("http:", "https:", "//"))
    ]
    assert outside == []


def loaded_by(page: str) -> list[str]:
    """Addresses that a browser fetches for a page by itself."""
    found: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attributes if value and name == LOADED.get(tag))

    Reader().feed(page)
    return found


def test_the_notebook_is_committed_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.slow
@pytest.mark.omniglot
@pytest.mark.filterwarnings("ignore")  # of Jupyter's packages, in this process; the kernel is another
def test_the_notebook_runs(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    import nbclient
    import nbformat

    changes = {"QUICKSTART_EPISODES": "5"}
    if not (ROOT / "data/drawings/drawings.npz").is_file():
        changes |= {"OMNIGLOT_MIRROR": str(request.getfixturevalue("mirror")), "ONESHOT_CACHE": str(tmp_path)}
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    client = nbclient.NotebookClient(
        notebook, timeout=300, startup_timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    client.execute(env=os.environ | changes)
    words = [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"  # not the bars of what is fetched
    ]
    assert re.search(r"mean IoU over 100 scenes: 0\.[789]", words[0])
    assert re.search(r"right in all 400 trials: 9\d", words[1])
    assert words[2].startswith("5 episodes seen")


def test_the_container_runs_a_target_of_make() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    make, target = shlex.split(container["postCreateCommand"])
    assert make == "make"
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_hosted_ci_runs_what_ci_runs_on_the_oldest_and_the_newest_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert os.access(ROOT / commands[0], os.X_OK)
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    (cache,) = [step["with"] for step in job["steps"] if "cache" in step.get("uses", "")]
    assert (ROOT / re.search(r"hashFiles\('(.+?)'\)", cache["key"])[1]).is_file()
