"""Documents: their snippets run, their commands and links exist, and the README stays short."""

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS_DRAWINGS = re.compile(r"load_scenes|fetch_drawings|all_runs|export_scenes|oneshot\.datasets")


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


SNIPPETS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    if page.name != "adding_a_network.md"  # whose code is of other files: tests/test_adding_a_network.py
    for number, code in enumerate(blocks(page, "python"), 1)
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Omniglot, which the first snippet fetches from the mirror."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools itself
@pytest.mark.parametrize("code", SNIPPETS)
def test_a_python_snippet_runs(
    code: str, request: pytest.FixtureRequest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if NEEDS_DRAWINGS.search(code) and not (ROOT / "data/drawings/drawings.npz").is_file():
        request.getfixturevalue("mirror")
        monkeypatch.setenv("ONESHOT_CACHE", str(cache))
    monkeypatch.setenv("HF_HOME", str(cache / "hugging_face"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.chdir(ROOT)
    exec(compile(code, "snippet", "exec"), {})


def test_every_module_that_a_command_names_exists() -> None:
    named = {
        name
        for page in PAGES
        for code in [page.read_text(encoding="utf-8")]
        for name in re.findall(r"python -m ((?:stages|oneshot|bench)[\w.]*)", code)
    }
    assert {"stages.record", "oneshot"} <= named
    files = {name: ROOT / name.replace(".", "/") for name in named}
    assert [
        name
        for name, path in files.items()
        if not path.with_suffix(".py").is_file() and not (path / "__main__.py").is_file()
    ] == []


def test_every_target_of_make_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    call = re.compile(r"(?:^|`)(?:[A-Z_]+=\S+ )?make (\w+)", re.MULTILINE)
    named = {name for page in PAGES for name in call.findall(page.read_text(encoding="utf-8"))}
    assert {"demo", "repro", "check", "test"} <= named <= targets


def test_every_link_within_the_project_leads_somewhere() -> None:
    wrong = []
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, _ = link.partition("#")
            if path and not link.startswith("http") and not (page.parent / path).exists():
                wrong.append(f"{page.name}: {link}")
    assert wrong == []


def test_every_link_to_a_heading_names_one_that_is_there() -> None:
    wrong = []
    for page in PAGES:
        for path, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            target = page.parent / path if path else page
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
            if anchor not in anchors:
                wrong.append(f"{page.name}: {path}#{anchor}")
    assert wrong == []


def test_the_readme_is_read_in_one_minute() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 120


def test_the_citation_file_names_both_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    titles = {reference["title"] for reference in citation["references"]}
    assert {"One-Shot Segmentation in Clutter"} < titles
    assert len(titles) == 3
