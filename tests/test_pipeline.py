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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image

from oneshot.records.run import INDEX, save_index
from tests.archives import flip_bit
from tests.conftest import ROOT
from tests.fake_records import release_segmentation

LEVELS = (4, 8, 16, 32, 64, 128, 256)
JOBS = {"val-train": 2, "test-train": 2, "val-one-shot": 2, "test-one-shot": 2, "covered-train": 1,
        "covered-one-shot": 1}  # fmt: skip
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
OTHER_TASK = {"segmentation": ("classify",), "classification": ("segment", "clutter")}
# They decide how something is refused, written or named, not what is computed (dvc.yaml says so).
NOT_DECLARED = {
    "oneshot/__init__.py",
    "oneshot/compiled.py",
    "oneshot/errors.py",
    "oneshot/files.py",
    "oneshot/machine.py",
    "oneshot/manifests.py",
    "oneshot/params",
}


# ----------------------------------------------------------------------------- what dvc.yaml declares


def list_stages() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every stage with its own settings, those of a `foreach` spelled out for each of its networks."""
    for name, stage in PIPELINE["stages"].items():
        if "foreach" not in stage:
            yield name, stage
            continue
        task = stage["foreach"].removeprefix("${").partition(".")[0]
        for key, item in PARAMS[task]["networks"].items():
            text = json.dumps(stage["do"]).replace("${key}", key)
            for field, value in item.items():
                text = text.replace(f"${{item.{field}}}", str(value))
            yield f"{name}@{key}", json.loads(text)


STAGES = dict(list_stages())


def list_paths(stage: dict[str, Any], *fields: str) -> dict[str, dict[str, Any]]:
    """Paths with their options; ${omniglot.source} is what params.yaml says."""
    items = [item for field in fields for item in stage.get(field, [])]
    pairs = [next(iter(item.items())) if isinstance(item, dict) else (item, {}) for item in items]
    return {path.replace("${omniglot.source}", PARAMS["omniglot"]["source"]): more for path, more in pairs}


def list_outputs() -> dict[str, bool]:
    """Every output of every stage, and whether DVC caches it."""
    return {
        path: options.get("cache", True)
        for stage in STAGES.values()
        for path, options in list_paths(stage, "outs", "metrics").items()
    }


def find_module(name: str) -> Path | None:
    """The file of a module of the project, relative to its top level; None for any other module."""
    path = Path(*name.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if (ROOT / file).is_file()), None)


def list_imports(file: Path) -> Iterator[str]:
    """Names of all modules that a file may import, those of functions too, with the packages around them."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def import_closure(file: Path, other_task: Sequence[str]) -> set[Path]:
    """A file and all files of the project that it imports, directly or not, but for the other task's."""
    found, queue = set(), [file]
    while queue:
        file = queue.pop()
        if file not in found and not any(file.is_relative_to(f"oneshot/{name}") for name in other_task):
            found.add(file)
            queue += [module for name in list_imports(file) if (module := find_module(name))]
    return {path for path in found if (ROOT / path).stat().st_size}


@pytest.mark.parametrize(
    "name", [name for name in STAGES if "@" not in name or name.endswith(("-joint", "own"))]
)
def test_a_stage_declares_the_packages_and_facts_that_it_uses(name: str) -> None:
    stage = STAGES[name]
    words = stage["cmd"].split()
    assert words[:2] == ["python", "-m"]
    main = Path(*words[2].split(".")).with_suffix(".py")
    closure = import_closure(main, OTHER_TASK.get((words[3:] or [""])[0], ()))
    declared = [Path(path) for path in list_paths(stage, "deps")]
    used = {path for path in closure if path.parts[0] == "oneshot"}
    used -= {path for path in used if any(path.is_relative_to(other) for other in NOT_DECLARED)}
    used -= {Path("oneshot/published/__init__.py"), Path("oneshot/library.py")}
    missing = {path for path in used | {main} if not any(path.is_relative_to(folder) for folder in declared)}
    assert missing == set()
    code = [path for path in declared if path.parts[0] == "oneshot" and path.suffix != ".json"]
    assert [path for path in code if not any(file.is_relative_to(path) for file in used)] == []


@pytest.mark.parametrize("name", [name for name in STAGES if name.startswith("train_")])
def test_whatever_changes_in_a_networks_section_trains_it_anew(name: str) -> None:
    task, key = name.removeprefix("train_").split("@")
    place = f"{task}.networks.{key}"
    said = {"needs", "recipe", "recipes"}  # by the stage's dependencies, and by names of its other parameters
    fields = PARAMS[task]["networks"][key].keys() - said - {"smoke", "laptop", "paper"}
    assert {f"{place}.{field}" for field in {*fields, "${scale}"}} <= {*STAGES[name]["params"]}


@pytest.mark.parametrize("name", STAGES)
def test_every_dependency_is_in_the_project_or_another_stages_output(name: str) -> None:
    made = list_outputs()
    for path in list_paths(STAGES[name], "deps"):
        in_outputs = path in made or any(output.startswith(f"{path}/") for output in made)
        assert in_outputs or (ROOT / path).exists(), path


def test_classification_depends_on_nothing_of_segmentation_and_the_other_way_round() -> None:
    for name, stage in STAGES.items():
        deps = set(list_paths(stage, "deps"))
        if "classification" in name or name == "prepare_classes":
            assert not deps & {"oneshot/segment", "oneshot/clutter", "oneshot/report"}, name
        if "segmentation" in name or name == "render":
            assert not deps & {"oneshot/classify", "oneshot/report"}, name
    assert "oneshot/records" not in {
        dep for n, s in STAGES.items() if n.startswith("train") for dep in s["deps"]
    }


def test_git_ignores_what_dvc_caches_and_nothing_else(clone: Path) -> None:
    paths = list_outputs()
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


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def replace_in(path: Path, pattern: str, line: str) -> None:
    changed, n = re.subn(pattern, line, path.read_text(), count=1, flags=re.MULTILINE)
    assert n == 1, pattern
    path.write_text(changed)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as a fresh Git repository at scale smoke, with the compiled kernels at hand."""
    folder = tmp_path_factory.mktemp("pipeline") / "clone"
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    kernels = (ROOT / "oneshot").glob("*/__pycache__/*kernels.*.nb[ci]")
    for name in [
        *filter(None, listing.stdout.split("\0")),
        *(str(path.relative_to(ROOT)) for path in kernels),
    ]:
        # Without the lock file of another scale, which DVC would write again, whole, after every stage.
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    replace_in(folder / "params.yaml", r"^scale: \w+", "scale: smoke")
    # One small recorded network in place of all there are.
    for run in (folder / "recorded/segmentation").iterdir():
        shutil.rmtree(run)
    for run in [path for path in (folder / "recorded/classification").iterdir() if path.is_dir()]:
        shutil.rmtree(run)
    (folder / "recorded" / INDEX).unlink()
    release_segmentation(folder / "recorded", level=4)
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


def test_the_run_writes_figures_of_every_level(reproduced: Path) -> None:
    metrics = read(reproduced, "metrics/segmentation.json")
    assert metrics["scale"] == "smoke"
    figures = metrics["networks"]["siamese_unet-joint"]["figures"]
    for level in LEVELS:
        place = f"{level}/answer/test-one-shot/iou"
        groups = [figures.get(f"{place}/{group}") for group in ("with_same_class", "without_same_class")]
        assert figures[place]["n"] == sum(group["n"] for group in groups if group) == 40
        assert metrics["all_ink"]["figures"][f"{level}/test-one-shot/iou"]["n"] == 40
    assert {key.partition("/")[0] for key in metrics["networks"]["siamese_unet-4"]["figures"]} == {"4"}


def test_the_run_rechecks_recorded_nets_and_compares_synthetic_scenes_with_no_record(
    reproduced: Path,
) -> None:
    networks = read(reproduced, "metrics/rechecked-segmentation.json")["networks"]
    assert len(networks) == 1
    (found,) = networks.values()
    assert found["figures"]["4/answer/test-one-shot/iou"]["n"] == 8
    assert not found["agreement"]
    assert read(reproduced, "metrics/rechecked-classification.json")["networks"] == {}


def test_the_run_classifies_with_every_kind_of_network_and_baseline(reproduced: Path) -> None:
    metrics = read(reproduced, "metrics/classification.json")
    recipes = {about["recipe"] for about in metrics["networks"].values()}
    assert recipes == set(PARAMS["classification"]["recipes"])
    assert (metrics["scale"], metrics["source"]) == ("smoke", "synthetic")
    for about in [*metrics["networks"].values(), *metrics["baselines"].values()]:
        assert about["figures"]["within-alphabet"]["n"] == 500
    guessed = metrics["baselines"]["guess"]["figures"]["within-alphabet"]
    assert guessed["low"] < 1 / 5 < guessed["high"]


def test_the_run_writes_manifests_with_the_checksums_of_all_parts(reproduced: Path) -> None:
    for level in LEVELS:
        manifest = read(reproduced, f"data/manifests/scenes-{level}.json")
        found = {name: (len(entry["parts"]), entry["n_scenes"]) for name, entry in manifest["sets"].items()}
        assert found == {name: (n_jobs, 20 * n_jobs) for name, n_jobs in JOBS.items()}


def test_the_run_writes_tables_and_pictures(reproduced: Path) -> None:
    table = pd.read_csv(reproduced / "tables/segmentation.csv")
    assert set(table["clutter_level"].dropna()) == set(LEVELS)
    results = (reproduced / "docs/results.md").read_text()
    assert "`smoke`" in results
    assert "synthetic alphabets" in results
    lines = pd.read_csv(reproduced / "tables/rising_ways.csv")
    plotted = next(plot["N-way accuracy"] for plot in PIPELINE["plots"] if "N-way accuracy" in plot)
    assert {plotted["x"], *plotted["y"]["tables/rising_ways.csv"]} <= set(lines.columns)
    for name in ("task", "predictions", "groups", "iou_over_clutter", "oracles", "rising_ways", "mistakes"):
        with Image.open(reproduced / f"figures/{name}.png") as picture:
            assert min(picture.size) > 200


def test_the_run_writes_a_report_of_its_networks_and_says_which_charts_are_empty(reproduced: Path) -> None:
    page = (reproduced / "report.html").read_text()
    assert "computed at scale smoke" in page
    data = json.loads(page.split('id="data">', 1)[1].split("</script>", 1)[0])
    assert set(data["iou"]["views"]) >= {"one-shot characters", "known characters"}
    assert {"siamese_unet-4, trained here", "masknet-joint, trained here"} <= {
        name.split("/")[0] for name in data["scenes"]["answers"]
    }
    assert {"own, trained here", "contrastive, trained here"} <= set(data["trials"]["choices"])
    charts = {"iou", "ways", "training"}
    assert page.count("There are no figures for this chart.") == len(charts - data.keys()) < len(charts)
    for empty in ("No answers to scenes", "No classifier answered"):
        assert empty not in page


def test_the_metrics_of_dvc_fit_a_terminal(reproduced: Path) -> None:
    lines = call(reproduced, "dvc metrics show").splitlines()
    assert 5 < len(lines) <= 65
    assert max(map(len, lines)) <= 120


def test_git_sees_the_runs_small_outputs_and_none_of_the_cached_ones(reproduced: Path) -> None:
    tracked = call(reproduced, "git ls-files").split()
    assert {"dvc.lock", "metrics/segmentation.json", "data/manifests/scenes-256.json"} <= set(tracked)
    cached = tuple(f"{path}/" for path, is_cached in list_outputs().items() if is_cached)
    assert [name for name in tracked if f"{name}/".startswith(cached)] == []
    assert call(reproduced, "git status --porcelain") == ""


def test_a_second_run_runs_nothing(reproduced: Path) -> None:
    assert "Running stage" not in call(reproduced, "dvc repro")


def test_another_recorded_net_concerns_the_recheck_and_the_tables_alone(reproduced: Path) -> None:
    folder = release_segmentation(reproduced / "recorded", level=8)
    try:
        status = json.loads(call(reproduced, "dvc status --json"))
    finally:
        shutil.rmtree(folder)
        save_index(reproduced / "recorded")
    assert set(status) == {"tables", "report", "recheck_segmentation"}


@pytest.mark.parametrize(
    ("edited", "unconcerned"),
    [
        ("oneshot/clutter/scenes.py", {"train_classification", "prepare_classes", "evaluate_classification"}),
        ("oneshot/report/tables.py", {"train_segmentation", "train_classification", "render", "evaluate"}),
        ("oneshot/classify/scoring.py", {"render", "train_segmentation", "evaluate_segmentation"}),
    ],
)
def test_an_edit_runs_nothing_that_it_does_not_concern(
    reproduced: Path, edited: str, unconcerned: set[str]
) -> None:
    file = reproduced / edited
    before = file.read_text()
    try:
        file.write_text(f"{before}\n# Changed.\n")
        stale = json.loads(call(reproduced, "dvc status --json"))
    finally:
        file.write_text(before)
    assert stale
    assert [name for name in stale if name.startswith(tuple(unconcerned))] == []


def test_a_damaged_part_is_found_and_rendered_again(reproduced: Path) -> None:
    folder = reproduced / "data/scenes"
    before = {path: path.read_bytes() for path in folder.rglob("*.zip")}
    damaged = folder / "4/val-train/part-1.zarr.zip"
    damaged.chmod(0o644)
    flip_bit(damaged, damaged.stat().st_size // 2)
    assert "70 parts whole (69 kept)" in call(reproduced, "python -m stages.render")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    # The part was a hard link into DVC's cache, which has lost it too, and takes it back.
    call(reproduced, "dvc repro render")
    assert "up to date" in call(reproduced, "dvc status render")


def test_a_removed_output_comes_back_from_the_cache(reproduced: Path) -> None:
    folder = reproduced / "models/segmentation/siamese_unet-joint"
    content = (folder / "weights.safetensors").read_bytes()
    shutil.rmtree(folder)
    call(reproduced, f"dvc checkout {folder.relative_to(reproduced)}")
    assert (folder / "weights.safetensors").read_bytes() == content


def test_removed_nets_are_the_same_to_the_bit_after_another_run(reproduced: Path) -> None:
    folders = [reproduced / "models" / name for name in ("segmentation/siamese_unet-4", "classification/own")]
    content = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    for folder in folders:
        shutil.rmtree(folder)
    said = call(reproduced, "dvc repro")
    assert {path: path.read_bytes() for folder in folders for path in folder.iterdir()} == content
    assert not re.search("Running stage '(?!train_(segmentation@siamese_unet-4|classification@own))", said)


def test_an_experiment_with_another_learning_rate_trains_again_and_renders_nothing(reproduced: Path) -> None:
    about = "models/segmentation/siamese_unet-joint/about.json"
    before = read(reproduced, about)
    scenes = {path: path.stat().st_mtime_ns for path in (reproduced / "data/scenes").rglob("*.zip")}
    said = call(reproduced, "dvc exp run -S lr=0.0005")
    assert "Running stage 'train_segmentation@siamese_unet-joint'" in said
    assert not re.search("Running stage '(download|prepare|render|train_classification)", said)
    assert {path: path.stat().st_mtime_ns for path in scenes} == scenes
    rates = [one["trainings"][0]["settings"]["lr"] for one in (before, read(reproduced, about))]
    assert rates == [0.002, 0.0005]


def test_the_experiment_shows_in_the_difference_of_the_metrics(reproduced: Path) -> None:
    difference = call(reproduced, "dvc metrics diff")
    assert "siamese_unet-joint" in difference
    assert len(difference.splitlines()) <= 65
    assert max(map(len, difference.splitlines())) <= 120


def test_an_unknown_parameter_ends_every_stage_in_one_sentence(reproduced: Path) -> None:
    commands = sorted({stage["cmd"] for name, stage in STAGES.items() if "@" not in name or "joint" in name})
    original = (reproduced / "params.yaml").read_text()
    try:
        replace_in(reproduced / "params.yaml", "^render:", "foo: 1\nrender:")
        with ThreadPoolExecutor(2) as threads:
            ended = list(threads.map(lambda command: attempt(reproduced, command), commands))
    finally:
        (reproduced / "params.yaml").write_text(original)
    sentence = "error: params.yaml: foo is not a known parameter.\n"
    said = {command: (done.returncode, done.stderr) for command, done in zip(commands, ended, strict=True)}
    assert said == dict.fromkeys(commands, (1, sentence))
