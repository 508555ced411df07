"""The page docs/adding_a_network.md, followed in a copy: one file, one line, one section suffice."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs/adding_a_network.md"
ADDED = {"classification": "tiny", "segmentation": "cosine_unet-4"}
COPIED = ("oneshot", "stages", "README.md")
PIPELINE = """
from pathlib import Path
from stages import download, evaluate, prepare, prepare_classes, recheck, render, tables, train
from stages.record import main as record

for stage in (download, prepare, render, prepare_classes):
    stage.main()
for task, name in {added}.items():
    train.main([task, name])
    evaluate.main(task)
    recheck.main(task)
tables.main()
for task, name in {added}.items():
    record.main([
        f"{{task}}/{{name}}", "--scale", "smoke", "--out", f"runs/{{task}}", "--revision", "0" * 40,
        "--device", "cpu", "--drawings", "data/drawings/drawings.npz", "--test-scenes", "6",
    ])
"""


def find_blocks(task: str) -> tuple[str, str, str, str, str]:
    """Find a task's file with its code, the registry's import and line, and the section of params.yaml."""
    page = PAGE.read_text(encoding="utf-8")
    part = page.split(f"## For {task}\n")[1].split("\n## ")[0]
    file = re.search(r"`(oneshot/\S+\.py)`:", part)
    assert file
    code, registry = re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    imported, line = registry.strip().split("\n\n")
    (section,) = re.findall(r"^```yaml\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    return file[1], code, imported, line, section


def replace_once(path: Path, pattern: str, text: str) -> None:
    changed, count = re.subn(
        pattern, lambda match: match[0] + text, path.read_text(), count=1, flags=re.MULTILINE
    )
    assert count == 1, f"{pattern} is not in {path}"
    path.write_text(changed)


def add(folder: Path, task: str) -> None:
    """Do what the page says, in a copy of the project."""
    file, code, imported, line, section = find_blocks(task)
    (folder / file).write_text(code)
    registry = (folder / file).with_name("__init__.py")
    replace_once(registry, r"^from oneshot\.\w+\.nets\.\w+ import [^(\n]+\n", f"{imported}\n")
    replace_once(registry, r"^NETS: .* = \{\n", f"{line}\n")
    params = folder / "params.yaml"
    start, rest = params.read_text().split(f"\n{task}:\n")
    rest, count = re.subn(r"^  networks:.*\n", lambda match: match[0] + section, rest, count=1, flags=re.M)
    assert count == 1
    params.write_text(f"{start}\n{task}:\n{rest}")


def keep_only(folder: Path, names: set[str]) -> None:
    """Take all other networks out of the parameters, for the sake of time."""
    import yaml

    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["scale"] = "smoke"
    params["other_images"] |= {"n_episodes": 8, "n_verification_pairs": 40}
    smoke = params["scales"]["smoke"]
    smoke["render"]["job_scenes"] = 6
    smoke["evaluate"]["n_scenes"] = smoke["evaluate"]["batch_size"] = 6
    smoke["classification"]["hausdorff"] = []
    for task in ADDED:
        networks = params[task]["networks"]
        params[task]["networks"] = {name: networks[name] for name in networks if name in names}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with both networks, after a run of all stages and of the recorder."""
    folder = tmp_path_factory.mktemp("adding") / "project"
    folder.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    shutil.copy2(ROOT / "params.yaml", folder)
    for task in ADDED:
        add(folder, task)
    keep_only(folder, set(ADDED.values()))
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE.format(added=ADDED)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(("task", "name"), ADDED.items())
def test_a_network_added_as_the_page_says_is_trained_evaluated_and_tabulated(
    project: Path, task: str, name: str
) -> None:
    about = json.loads((project / f"models/{task}/{name}/about.json").read_text())
    assert about["trained"]
    metrics = json.loads((project / f"metrics/{task}.json").read_text())
    assert metrics["networks"][name]["figures"]
    assert name.partition("-")[0] in (project / f"tables/{task}.csv").read_text()


@pytest.mark.parametrize(("task", "name"), ADDED.items())
def test_a_network_added_as_the_page_says_is_recorded(project: Path, task: str, name: str) -> None:
    record = json.loads((project / f"runs/{task}/run.json").read_text())
    assert (record["task"], record["network"]) == (task, name)
    assert record["figures"]
