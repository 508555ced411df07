"""The written pages under docs/: they are what their sources say, and Croissant reads them."""

import copy
import json
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from oneshot.params import read_values
from oneshot.published import read_facts
from stages.pages.__main__ import write_pages
from stages.pages.parameters import show_by_scale, write_parameters
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of packages that mlcroissant uses
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def pages() -> dict[Path, str]:
    with pytest.MonkeyPatch.context() as changed:
        changed.chdir(ROOT)
        return write_pages()


@pytest.fixture
def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs/croissant.json").read_text(encoding="utf-8"))
    return found


def test_every_page_is_what_its_sources_say(pages: dict[Path, str]) -> None:
    apart = [str(path) for path, text in pages.items() if (ROOT / path).read_text(encoding="utf-8") != text]
    assert apart == [], "python -m stages.pages writes them anew"


def test_a_line_has_a_parameters_type_range_and_values_by_scale() -> None:
    page = write_parameters(read_values(ROOT / "params.yaml"))
    for line in (
        "| `seed` | integer ≥ 0 and < 4,294,967,296 | `1803` |",
        "| `segmentation.recipes.*.*.*.lr` | number > 0 and ≤ 10 | `5.0e-05` to `0.003` | Learning rate. |",
        "evaluate.n_scenes` | integer ≥ 2 and ≤ 10,000 | smoke: `40`<br>laptop: `1000`<br>paper: `10000` |",
        "networks.*.recipe` | `published` or `background` or `own` or `protonet` or `contrastive` or "
        "`contrastive_40` |",
    ):
        assert line in page


def test_what_all_scales_have_in_common_is_said_once() -> None:
    path = ("scales", "SCALE", "evaluate", "batch_size")
    values = {"scales": {scale: {"evaluate": {"batch_size": 5}} for scale in ("smoke", "laptop", "paper")}}
    assert show_by_scale(values, path) == "`5`"
    values["scales"]["paper"]["evaluate"]["batch_size"] = 7
    assert show_by_scale(values, path) == "smoke: `5`<br>laptop: `5`<br>paper: `7`"


def test_a_changed_value_changes_the_page() -> None:
    values = copy.deepcopy(read_values(ROOT / "params.yaml"))
    values["scales"]["laptop"]["evaluate"]["n_scenes"] = 77
    assert "smoke: `40`<br>laptop: `77`<br>paper: `10000`" in write_parameters(values)


def test_every_recorded_network_has_a_card(pages: dict[Path, str]) -> None:
    page = pages[Path("docs/models.md")]
    for record in ROOT.glob("recorded/*/*/run.json"):
        run = json.loads(record.read_text(encoding="utf-8"))
        _, card = page.split(f"### {run['name']}\n")
        card, _, _ = card.partition("\n#")
        for fact in (run["git_revision"], run["weights"]["sha256"], run["machine"], f'("{run["name"]}")'):
            assert fact in card


def test_croissant_takes_the_description_without_a_complaint(described: dict[str, Any]) -> None:
    issues = mlcroissant.Dataset(described).metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())


def test_croissant_reads_the_published_sums(described: dict[str, Any]) -> None:
    rows = {
        (row["sets/clutter_level"], row["sets/split"]): row["sets/images_sha256"]
        for row in mlcroissant.Dataset(described).records("sets")
    }
    facts = read_facts("cluttered_omniglot")
    assert rows == {
        (found["clutter_level"], found["split"]): found["sha256"]["images"]
        for found in [*facts["sets"], *facts["ours"]["sets"]]
    }
