"""What is installed, the extras that bring it, and the command that reports both."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from oneshot import machine
from oneshot.__main__ import main
from oneshot.commands import doctor, scenes
from oneshot.machine import explain_missing, installed_version, list_extras, packages_of
from oneshot.omniglot.drawings import Drawings, save_drawings
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    found = {re.split(r"[\[>=<;]", one)[0] for one in requirements}
    return found - {"oneshot"}


def test_the_data_set_alone_needs_neither_pytorch_nor_dvc() -> None:
    assert set(packages_of("")) == names(PROJECT["dependencies"])
    assert not {"torch", "dvc", "zarr", "scipy", "pandas", "matplotlib", "pydantic"} & set(packages_of(""))


def test_scenes_are_rendered_without_what_extras_bring(synthetic_drawings: Drawings, tmp_path: Path) -> None:
    save_drawings(tmp_path / "drawings.npz", synthetic_drawings)
    code = """
import sys
sys.modules |= dict.fromkeys(sys.argv[1].split())  # importing them fails
from pathlib import Path
from oneshot.__main__ import main
from oneshot.library import fetch_drawings, load_scenes
print(load_scenes("test-one-shot", 4, 2, fetch_drawings(Path("drawings.npz"))).images().shape, flush=True)
main("write --split train --clutter-level 4 --jobs 0:1 --drawings drawings.npz --out .".split())
"""
    modules = " ".join(
        {"pyyaml": "yaml"}.get(one, one)
        for extra in list_extras()
        for one in {*packages_of(extra)} - {*packages_of("")}
    )
    done = subprocess.run(
        [sys.executable, "-c", code, modules], env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.stdout == "(2, 96, 96, 3)\n", done.stderr
    assert re.search(r"\nerror: \w+ is not installed: install it, or .* its extra parts\.\n\Z", done.stderr)


def test_an_extra_brings_what_the_extras_within_it_bring() -> None:
    extras = PROJECT["optional-dependencies"]
    assert list_extras() == [*extras]
    assert set(packages_of("parts")) == names(extras["parts"])
    assert set(packages_of("pipeline")) == names(extras["parts"] + extras["torch"] + extras["pipeline"])


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("zarr.codecs", "zarr is not installed: install it, or this package with its extra parts."),
        ("torch", "torch is not installed: install it, or this package with its extra torch."),
        ("yaml", "pyyaml is not installed: install it, or this package with its extra export."),
        ("dvc", "dvc is not installed: install it, or this package with its extra pipeline."),
        ("numpy", "numpy is not installed: install it."),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_smallest_extra_that_brings_it(
    module: str, sentence: str
) -> None:
    assert explain_missing(ModuleNotFoundError(f"No module named {module!r}", name=module)) == sentence


def test_a_command_without_its_packages_ends_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(arguments: object) -> None:
        raise ModuleNotFoundError("No module named 'zarr'", name="zarr")

    monkeypatch.setattr(scenes, "verify_sets", fail)
    with pytest.raises(SystemExit, match=r"^error: zarr is not installed: install it, or this package with"):
        main(["verify", str(tmp_path)])


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    main(["doctor", "--json"])
    found: dict[str, dict[str, str]] = json.loads(capsys.readouterr().out)
    return found


def test_the_doctor_reports_versions_and_that_all_commands_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OMNIGLOT_MIRROR", "/nowhere")
    found = report(capsys)
    assert found["packages"]["torch"] == installed_version("torch")
    assert found["OMNIGLOT_MIRROR"] == "/nowhere, which is no folder"
    needed = {one for extra in doctor.NEEDS.values() for one in packages_of(extra)}
    if all(map(installed_version, needed)):
        assert set(found["commands"].values()) == {"works"}
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(f"{name}:") for line in lines) for name in found)


def test_the_doctor_names_what_a_command_lacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def version(package: str) -> str:
        if package in ("torch", "zarr"):
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "version", version)
    found = report(capsys)
    assert found["packages"]["zarr"] == "not installed"
    assert found["GPU"] == "unknown without PyTorch"
    assert found["commands"]["python -m oneshot render"] == "works"
    assert found["commands"]["python -m oneshot write, verify"] == "lacks zarr, which extra parts brings"
    assert found["commands"]["dvc repro"].startswith("needs a checkout")
