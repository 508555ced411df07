"""A paused run is known by all that its result depends on, and by nothing else."""

from pathlib import Path

import pytest

from oneshot.manifests import write_sealed
from stages.fingerprint import CODE, USED, code_sha256, fingerprint, list_sources


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A package with a file in every place."""
    for name in {*USED["segmentation"], *USED["classification"], "report", "records", "library.py"}:
        path = tmp_path / (name if name.endswith(".py") else f"{name}/module.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text("x = 1\n")
    return tmp_path


@pytest.mark.parametrize("task", USED)
def test_only_an_edit_of_what_a_training_uses_strands_a_paused_run(task: str, code: Path) -> None:
    before = code_sha256(task, code)
    other = {"segmentation": "classify", "classification": "segment"}[task]
    for unused in (f"{other}/module.py", "report/module.py", "records/module.py", "library.py"):
        (code / unused).write_text("x = 2\n")
        assert code_sha256(task, code) == before
    for name in USED[task]:
        path = code / name if name.endswith(".py") else code / name / "module.py"
        path.write_text("x = 2\n")
        assert code_sha256(task, code) != before
        path.write_text("x = 1\n")


def test_the_sources_of_this_project_are_found() -> None:
    found = {path.relative_to(CODE).as_posix() for path in list_sources("classification")}
    assert {"params/__init__.py", "training/fit.py", "classify/nets/koch.py", "published/koch.json"} <= found
    assert not any(path.startswith(("clutter/", "segment/", "report/", "records/")) for path in found)


def test_parameters_and_images_tell_runs_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = tmp_path / "data/manifests/drawings.json"
    found = set()
    for sha256, seed in (("a", 1), ("a", 2), ("b", 1)):
        write_sealed(manifest, {"source": "omniglot", "sha256": sha256, "file_sha256": ""})
        found |= {fingerprint("segmentation", {"seed": seed}), fingerprint("segmentation", {"seed": seed})}
    assert len(found) == 3


def test_trials_that_validate_tell_runs_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = set()
    for sha256 in ("a", "b"):
        images = {"source": "own", "sha256": "same", "file_sha256": ""}
        trials = {"protocols": {"validation": {"sha256": sha256}}}
        write_sealed(tmp_path / "data/manifests/classes.json", images | trials)
        found.add(fingerprint("classification", {}))
    assert len(found) == 2
