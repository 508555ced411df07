"""The pipeline: what dvc.yaml declares against what the code does, and scale smoke end to end in a clone.

The tests of the clone build on one another, in the order in which they stand here.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image

from oneshot.report.rows import NET_TITLES
from tests.archives import flip_bit
from tests.conftest import ROOT
from tests.fake_records import fake_scores, release_net

LEVELS = (4, 8, 16, 32, 64, 128, 256)
SPLITS = ("val-train", "test-train", "val-one-shot", "test-one-shot")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())


# ----------------------------------------------------------------------------- what dvc.yaml declares


def find_module(name: str) -> Path | None:
    """The file of a module of the project, relative to its top level; None for any other module."""
    path = Path(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / file).is_file():
            return file
    return None


def list_imports(file: Path) -> Iterator[str]:
    """Names of all modules that a file may import, those of functions too, with the packages around them."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import, which this test does not follow"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def import_closure(file: Path) -> set[str]:
    """A file and all files of the project that it imports, directly or not; an empty file does not count."""
    found, queue = set(), [file]
    while queue:
        file = queue.pop()
        if file not in found:
            found.add(file)
            queue += [module for name in list_imports(file) if (module := find_module(name))]
    return {str(file) for file in found if (ROOT / file).stat().st_size}


def outputs(stage: dict[str, Any]) -> dict[str, bool]:
    """Every output of a stage, its matrix spelled out: path and whether DVC caches it."""
    declared = [item for key in ("outs", "metrics", "plots") for item in stage.get(key, [])]
    paths = {}
    for item in declared:
        path, options = next(iter(item.items())) if isinstance(item, dict) else (item, {})
        paths[path] = options.get("cache", True)
    for name, values in stage.get("matrix", {}).items():
        paths = {
            path.replace(f"${{item.{name}}}", str(value)): cached
            for path, cached in paths.items()
            for value in values
        }
    return paths


@pytest.mark.parametrize("name", PIPELINE["stages"])
def test_a_stage_declares_exactly_the_modules_that_it_imports(name: str) -> None:
    stage = PIPELINE["stages"][name]
    assert stage["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]
    declared = [path for path in stage["deps"] if path.endswith(".py")]
    assert len(declared) == len(set(declared))
    assert set(declared) == import_closure(Path(f"stages/{name}.py"))


@pytest.mark.parametrize("name", PIPELINE["stages"])
def test_every_dependency_is_in_the_project_or_another_stages_output(name: str) -> None:
    made = {path for stage in PIPELINE["stages"].values() for path in outputs(stage)}
    matrix = PIPELINE["stages"][name].get("matrix", {})
    source = yaml.safe_load((ROOT / "params.yaml").read_text())["omniglot"]["source"]
    for path in PIPELINE["stages"][name]["deps"]:
        path = path.replace("${omniglot.source}", source)
        for key, values in matrix.items():
            path = path.replace(f"${{item.{key}}}", str(values[0]))
        # Git keeps a folder for the sake of its README.md, if of nothing else.
        assert path in made or (ROOT / path).is_file() or (ROOT / path / "README.md").is_file(), path


def test_the_keys_of_every_matrix_are_plain_words() -> None:
    keys = [
        str(value)
        for stage in PIPELINE["stages"].values()
        for values in stage.get("matrix", {}).values()
        for value in values
    ]
    assert len(keys) > 20
    assert [key for key in keys if not re.fullmatch(r"\w+", key)] == []


def test_every_stage_of_a_clutter_level_is_there_for_all_seven() -> None:
    levels = {name: stage["matrix"]["level"] for name, stage in PIPELINE["stages"].items()
              if "level" in stage.get("matrix", {})}  # fmt: skip
    assert set(levels) >= {"render", "evaluate", "reevaluate"}
    assert set(map(tuple, levels.values())) == {LEVELS}


def test_git_ignores_what_dvc_caches_and_nothing_else(clone: Path) -> None:
    paths = {path: cached for stage in PIPELINE["stages"].values() for path, cached in outputs(stage).items()}
    assert set(paths.values()) == {True, False}
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=clone, env=environment(clone), input="\n".join(paths),
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert set(asked.stdout.split()) == {path for path, cached in paths.items() if cached}


# -------------------------------------------------------------------------------- a run in a scratch clone


def environment(folder: Path) -> dict[str, str]:
    """This Python's programs first, and nothing of Git's or DVC's from outside."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_"))}
    kept.pop("OMNIGLOT_MIRROR", None)
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder),
        "PYTHONWARNINGS": "",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder.parent / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder.parent / "dvc-system"),
    }


def attempt(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.split(), cwd=folder, env=environment(folder), text=True, capture_output=True, check=False
    )


def call(folder: Path, command: str) -> str:
    """Run a command that must succeed; all that it said."""
    done = attempt(folder, command)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def set_parameter(folder: Path, pattern: str, line: str) -> None:
    path = folder / "params.yaml"
    text, count = re.subn(pattern, line, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as a fresh Git repository at scale smoke, with the compiled kernels at hand."""
    folder = tmp_path_factory.mktemp("pipeline") / "clone"
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    kernels = (ROOT / "oneshot/clutter/__pycache__").glob("kernels.*.nb[ci]")
    for name in [
        *filter(None, listing.stdout.split("\0")),
        *(str(path.relative_to(ROOT)) for path in kernels),
    ]:
        # Without the lock file of another scale, which DVC would write again, whole, after every stage.
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    set_parameter(folder, r"^scale: \w+", "scale: smoke")
    # One small released network in place of all there are.
    for name in ("results", "weights"):
        for net in NET_TITLES:
            shutil.rmtree(folder / name / net, ignore_errors=True)
    release_net(folder, 4, "fast", fake_scores(0.5))
    call(folder, "git init -q")
    call(folder, "git config user.name test")
    call(folder, "git config user.email test@localhost")
    call(folder, "git add .")
    call(folder, "git commit -q -m clone")
    return folder


@pytest.fixture(scope="module")
def reproduced(clone: Path) -> Path:
    """The clone after its first run, with what the run left for Git committed."""
    call(clone, "dvc repro")
    call(clone, "git add .")
    call(clone, "git commit -q -m run")
    return clone


def test_the_run_writes_metrics_of_every_level(reproduced: Path) -> None:
    for level in LEVELS:
        metrics = json.loads((reproduced / f"metrics/segmentation-{level}.json").read_text())
        assert (metrics["scale"], metrics["clutter_level"]) == ("smoke", level)
        found = metrics["joint"]["answers"]["answer"]["test-one-shot"]
        groups = [
            found[name]["iou"]["n"] for name in ("with_same_class", "without_same_class") if name in found
        ]
        assert found["iou"]["n"] == sum(groups) == 40
        assert metrics["all_ink"]["test-one-shot"]["iou"]["n"] == 40
        assert ("level_4" in metrics) == (level == 4)


def test_the_run_evaluates_released_nets_and_compares_invented_scenes_with_no_record(
    reproduced: Path,
) -> None:
    nets = {
        level: json.loads((reproduced / f"metrics/reevaluated-{level}.json").read_text()).get("nets", {})
        for level in LEVELS
    }
    assert [level for level in LEVELS if nets[level]] == [4]
    found = nets[4]["siamese_unet"]["fast"]["4"]["answers"]["answer"]["test-one-shot"]
    assert found["iou"]["n"] == 8
    assert "agreement" not in found


def test_the_run_classifies_with_every_kind_of_network_and_baseline(reproduced: Path) -> None:
    trained, baselines = (
        json.loads((reproduced / f"metrics/{name}.json").read_text())
        for name in ("classification", "baselines")
    )
    assert {about["recipe"] for about in trained["scorers"].values()} == {
        "published", "background", "own", "protonet",
    }  # fmt: skip
    for found in (trained, baselines):
        assert (found["scale"], found["source"]) == ("smoke", "synthetic")
        for about in found["scorers"].values():
            assert about["accuracy"]["within-alphabet"]["n"] == 500
    guessed = baselines["scorers"]["guess"]["accuracy"]["within-alphabet"]
    assert guessed["low"] < 1 / 5 < guessed["high"]
    released = json.loads((reproduced / "metrics/reclassified.json").read_text())
    assert released == {"scale": "smoke", "source": "synthetic", "nets": {}}


def test_the_run_writes_manifests_with_the_checksums_of_all_parts(reproduced: Path) -> None:
    for level in LEVELS:
        manifest = json.loads((reproduced / f"data/manifests/scenes-{level}.json").read_text())
        assert set(manifest["sets"]) == set(SPLITS)
        for entry in manifest["sets"].values():
            assert len(entry["parts"]) == 2
            assert entry["n_scenes"] == 40


def test_the_run_writes_tables_and_pictures_and_the_readmes_block(reproduced: Path) -> None:
    table = pd.read_csv(reproduced / "tables/segmentation.csv")
    assert set(table["clutter_level"]) == set(LEVELS)
    markdown = (reproduced / "tables/segmentation.md").read_text()
    readme = (reproduced / "README.md").read_text()
    assert readme.split("<!-- tables -->\n")[1].split("<!-- /tables -->")[0] == markdown
    assert "at scale `smoke`, all columns but the published and the recorded ones, on invented" in markdown
    assert "recorded: recipe fast, 2 feature maps, n = 40" in markdown
    assert "released weights, here: recipe fast, 2 feature maps, n = 8" in markdown
    assert "at 4 characters of the released networks (Siamese-U-Net" in readme
    assert len(pd.read_csv(reproduced / "tables/recorded_runs.csv")) == 1
    of_classes = (reproduced / "tables/classification.md").read_text()
    assert readme.split("<!-- classification -->\n")[1].split("<!-- /classification -->")[0] == of_classes
    lines = pd.read_csv(reproduced / "tables/rising_ways.csv")
    plotted = next(plot["N-way accuracy"] for plot in PIPELINE["plots"] if "N-way accuracy" in plot)
    assert {plotted["x"], *plotted["y"]["tables/rising_ways.csv"]} <= set(lines.columns)
    assert "These are invented alphabets, not Omniglot" in of_classes
    for name in ("task", "predictions", "iou_over_clutter", "oracles", "rising_ways"):
        with Image.open(reproduced / f"figures/{name}.png") as picture:
            assert min(picture.size) > 200


def test_git_sees_the_runs_small_outputs_and_none_of_the_cached_ones(reproduced: Path) -> None:
    tracked = call(reproduced, "git ls-files").split()
    assert {"dvc.lock", "metrics/segmentation-4.json", "data/manifests/scenes-256.json"} <= set(tracked)
    cached = [
        path for s in PIPELINE["stages"].values() for path, is_cached in outputs(s).items() if is_cached
    ]
    assert [name for name in tracked if name.startswith(tuple(cached))] == []
    assert call(reproduced, "git status --porcelain") == ""


def test_a_second_run_runs_nothing(reproduced: Path) -> None:
    assert "Running stage" not in call(reproduced, "dvc repro")


def test_another_released_net_concerns_its_own_stage_and_the_tables_alone(reproduced: Path) -> None:
    try:
        release_net(reproduced, 8, "published", fake_scores(0.5))
        (reproduced / "weights/README.md").write_text("Other words.\n")
        status = json.loads(call(reproduced, "dvc status --json"))
    finally:
        shutil.rmtree(reproduced / "results/siamese_unet/published")
        shutil.rmtree(reproduced / "weights/siamese_unet/published")
    # Those of classification are looked through, too, which takes a second.
    assert set(status) == {
        "tables", "reevaluate_classification", *(f"reevaluate@{level}" for level in LEVELS),
    }  # fmt: skip
    changed = {"results": "modified", "weights": "modified"}
    assert status["reevaluate@4"] == [{"changed deps": changed}]
    assert call(reproduced, "dvc status").strip() == "Data and pipelines are up to date."


def test_a_damaged_part_is_found_and_rendered_again(reproduced: Path) -> None:
    folder = reproduced / "data/scenes/4"
    before = {path: path.read_bytes() for path in folder.rglob("*.zip")}
    damaged = folder / "val-train/part-1.zarr.zip"
    damaged.chmod(0o644)
    flip_bit(damaged, damaged.stat().st_size // 2)
    manifest = (reproduced / "data/manifests/scenes-4.json").read_bytes()
    assert "8 parts whole (7 kept)" in call(reproduced, "python -m stages.render 4")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (reproduced / "data/manifests/scenes-4.json").read_bytes() == manifest
    # The part was a hard link into DVC's cache, which has lost it too, and takes it back.
    assert "8 parts whole (8 kept)" in call(reproduced, "dvc repro render@4")
    assert "up to date" in call(reproduced, "dvc status render@4")


def test_a_removed_output_comes_back_from_the_cache(reproduced: Path) -> None:
    folder = reproduced / "models/siamese_unet/joint"
    content = (folder / "weights.safetensors").read_bytes()
    shutil.rmtree(folder)
    call(reproduced, "dvc checkout models/siamese_unet/joint")
    assert (folder / "weights.safetensors").read_bytes() == content


def test_a_removed_net_is_the_same_to_the_bit_after_another_run(reproduced: Path) -> None:
    folder = reproduced / "models/siamese_unet/level_4"
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    said = call(reproduced, "dvc repro")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
    assert not re.search("Running stage '(?!train_siamese_unet@level_4)", said)


def test_an_experiment_with_another_learning_rate_trains_again_and_renders_nothing(reproduced: Path) -> None:
    about = reproduced / "models/siamese_unet/joint/about.json"
    before = json.loads(about.read_text())
    scenes = {path: path.stat().st_mtime_ns for path in (reproduced / "data/scenes").rglob("*.zip")}
    said = call(reproduced, "dvc exp run -S lr=0.0005 evaluate@4")
    assert "Running stage 'train_siamese_unet@joint'" in said
    assert not re.search("Running stage '(download|prepare|render)", said)
    assert {path: path.stat().st_mtime_ns for path in scenes} == scenes
    after = json.loads(about.read_text())
    assert {key for key in after if after[key] != before[key]} == {"training"}
    before, after = (about["training"]["segmentation"] for about in (before, after))
    assert (before["lr"], after["lr"]) == (0.002, 0.0005)
    assert {key for key in after if after[key] != before[key]} == {"lr"}


def test_the_experiment_shows_in_the_difference_of_the_metrics(reproduced: Path) -> None:
    difference = json.loads(call(reproduced, "dvc metrics diff --json"))
    changed = difference.get("diff", difference)["metrics/segmentation-4.json"]
    assert {"old", "new", "diff"} <= set(changed["joint.answers.answer.test-one-shot.iou.value"])
    assert not any(key.startswith("all_ink") for key in changed)


def test_an_unknown_parameter_ends_every_stage_in_one_sentence(reproduced: Path) -> None:
    commands = [
        " ".join(
            [f"python -m stages.{name}", *(str(of_key[-1]) for of_key in stage.get("matrix", {}).values())]
        )
        for name, stage in PIPELINE["stages"].items()
    ]
    original = (reproduced / "params.yaml").read_text()
    try:
        set_parameter(reproduced, "^siamese_unet:\n", "siamese_unet:\n  foo: 1\n")
        with ThreadPoolExecutor(2) as threads:
            ended = list(threads.map(lambda command: attempt(reproduced, command), commands))
    finally:
        (reproduced / "params.yaml").write_text(original)
    sentence = "error: params.yaml: siamese_unet.foo is not a known parameter.\n"
    said = {command: (done.returncode, done.stderr) for command, done in zip(commands, ended, strict=True)}
    assert said == dict.fromkeys(commands, (1, sentence))
