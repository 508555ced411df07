"""The stage that writes the report page: what has changed since a revision, as DVC knows it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oneshot.errors import ParameterError
from oneshot.files import write_json
from oneshot.records.run import load_run
from stages.places import RECORDED
from stages.report import list_changes, list_commands
from tests.conftest import ROOT

DVC = [sys.executable, "-m", "dvc"]
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of DVC with three figures of a summary, and one that is none, committed."""
    monkeypatch.chdir(tmp_path)
    names = ["summary/net/004.json", "summary/net/008.json", "summary/old/004.json", "other.json"]
    for name in names:
        write_iou(Path("metrics", name), 0.5)
    Path("dvc.yaml").write_text("metrics:\n" + "".join(f"  - metrics/{name}\n" for name in names))
    for command in (
        ["git", "init", "-q"],
        [*DVC, "init", "-q"],
        ["git", "add", "."],
        [*GIT, "commit", "-qm", "a"],
    ):
        subprocess.run(command, check=True)
    return tmp_path


def write_iou(path: Path, iou: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"iou": {iou}}}')


@pytest.mark.slow
def test_the_figures_of_the_summary_that_differ_from_a_revision_are_listed(repository: Path) -> None:
    assert list_changes("HEAD") == []
    write_iou(Path("metrics/summary/net/004.json"), 0.625)
    write_iou(Path("metrics/other.json"), 0.75)
    Path("metrics/summary/old/004.json").unlink()
    assert list_changes("HEAD") == [("net", "4, iou", 0.5, 0.625), ("old", "4, iou", 0.5, None)]
    for revision in ("nowhere", "--all"):
        with pytest.raises(ParameterError, match=f"the figures of '{revision}' cannot be had: .*{revision}"):
            list_changes(revision)


def test_commands_have_the_minutes_that_the_recorded_run_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    runs = [
        load_run(RECORDED / name)
        for name in ("classification/contrastive-long", "classification/contrastive")
    ]
    assert runs[0].budget_minutes == 110
    commands = list_commands([runs[0].model_copy(update={"budget_minutes": 7.5}), *runs[1:]])
    assert commands.keys() == {"contrastive-long"}  # the other is on no list
    assert "--minutes 7.5 --name contrastive-long" in commands["contrastive-long"]
    # The list names this run's speed, which is not said twice.
    assert commands["contrastive-long"].count("speed") == 1
    assert list_commands([runs[0].model_copy(update={"budget_minutes": None})]) == {}


def test_commands_get_the_minutes_and_speed_of_the_run_where_none_are_listed_and_unknown_networks_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    lines = [{"run": "classification/contrastive", "set": {}, "name": "contrastive-long"},
             {"run": "classification/gone", "set": {"classification.networks.gone.paper": None}}]  # fmt: skip
    write_json(tmp_path / "recorded/wanted.yaml", {"cpu": lines, "gpu": []})
    run = load_run(ROOT / RECORDED / "classification/contrastive-long")
    words = "classification/contrastive --name contrastive-long --minutes 110 --speed channels_last,fused"
    assert list_commands([run]) == {"contrastive-long": f"python -m stages.record {words}"}
