"""The command line and the library's own calls, without the pipeline."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot.__main__ import main
from oneshot.clutter.parts import list_parts, read_part
from oneshot.clutter.scenes import SceneRecipe, job_seeds, lay_out, render_job
from oneshot.errors import ParameterError
from oneshot.library import load_scenes
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.published import find_split
from tests.archives import cut_off
from tests.conftest import ROOT, refusing
from tests.oracle.scenes_pillow import render_job_plainly
from tests.scene_cases import assert_equals_oracle

ARRAYS = ("images", "segmentation", "targets")
RECIPE = "--characters train --drawers 0:10 --clutter-level 4 --seed 3"
GOOD = f"render {RECIPE} --scenes 2 --sha256"


@pytest.fixture(scope="module")
def file(synthetic_drawings: Drawings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "drawings.npz"
    save_drawings(path, synthetic_drawings)
    return path


@pytest.fixture
def render(capsys: pytest.CaptureFixture[str]) -> Callable[[Path, str], list[str]]:
    """Renders by command, for the checksums that it prints."""

    def call(file: Path, words: str) -> list[str]:
        main([*f"render {words} --sha256".split(), "--drawings", str(file)])
        found = json.loads(capsys.readouterr().out)
        assert 0 < found.pop("seconds") < 60
        assert tuple(found) == ARRAYS
        return list(found.values())

    return call


def draw_sums(drawings: Drawings, recipe: SceneRecipe, seed: int, n_scenes: int) -> list[str]:
    """Checksums of what the plain renderer draws."""
    arrays = render_job_plainly(drawings.of(recipe.characters).unpack(), recipe, seed, n_scenes)
    return [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]


def test_render_prints_checksums_and_every_option_reaches_the_scenes(file, synthetic_drawings, render):
    found = render(file, "--characters eval --drawers 3:9 --clutter-level 5 --seed 12 --scenes 6")
    assert found == draw_sums(synthetic_drawings, SceneRecipe(5, "eval", (3, 9)), 12, 6)
    options = "--occluders 2 --empty 0.5 --scene-size 130 97 --target-size 20 40"
    found = render(
        file, f"--characters test --drawers 19:20 --clutter-level 3 --seed 4294967295 --scenes 8 {options}"
    )
    recipe = SceneRecipe(3, "test", (19, 20), 2, 0.5, (130, 97), (20, 40))
    assert found == draw_sums(synthetic_drawings, recipe, 4294967295, 8)


def test_render_writes_the_raw_arrays(file, synthetic_drawings, tmp_path, capsys):
    out = tmp_path / "new" / "scenes.npz"
    main([*f"render {RECIPE} --scenes 4".split(), "--out", str(out), "--drawings", str(file)])
    assert capsys.readouterr().out == ""
    scenes = render_job(lay_out(synthetic_drawings, "train"), SceneRecipe(4, "train", (0, 10)), 3, 4)
    with np.load(out, allow_pickle=False) as arrays:
        assert_equals_oracle(scenes, (arrays["images"], arrays["segmentation"], arrays["targets"]))


def write_own_images(folder: Path, drawings: Drawings, n_characters: int) -> Path:
    """One drawing each of some test characters, as dark ink on light paper."""
    for k, drawing in enumerate(drawings.of("test").unpack()[:n_characters, 0]):
        (folder / f"letter{k}").mkdir(parents=True)
        Image.fromarray(255 * (1 - drawing)).save(folder / f"letter{k}" / "1.png")
    return folder


def test_scenes_are_rendered_from_own_images(synthetic_drawings, tmp_path, capsys):
    folder = write_own_images(tmp_path / "own", synthetic_drawings, 3)
    words = "--clutter-level 5 --seed 9 --scenes 6 --occluders 1 --scene-size 130 97 --target-size 20 40"
    main(["render", "--images", str(folder), *words.split(), "--sha256"])
    found = json.loads(capsys.readouterr().out)
    images = np.repeat(synthetic_drawings.of("test").unpack()[:3, :1], 20, axis=1)
    recipe = SceneRecipe(5, "own", (0, 20), 1, 0.0, (130, 97), (20, 40))
    arrays = render_job_plainly(images, recipe, 9, 6)
    assert [found[name] for name in ARRAYS] == [hashlib.sha256(one.tobytes()).hexdigest() for one in arrays]


BAD_OWN = {
    "no folder": ("--clutter-level 4", 0, "is no folder"),
    "one character": ("--clutter-level 4", 1, "has one class: give two or more"),
    "level 0": ("--clutter-level 0", 2, "clutter_level is 0"),
    "more than labels tell apart": (
        "--clutter-level 65536",
        2,
        "a scene of 65536 characters is too full",
    ),
    "size 0": ("--clutter-level 4 --scene-size 0 96", 2, "sizes must be positive, not (0, 96)"),
    "a huge scene": ("--clutter-level 4 --scene-size 96 4097", 2, "sizes must be at most 4096"),
    "a huge target": ("--clutter-level 4 --target-size 10000000000 32", 2, "sizes must be at most 4096"),
    "too many scenes": ("--clutter-level 4 --scenes 1000000000000000000000", 2, "MB of memory, of which"),
    "too small a scene": ("--clutter-level 4 --scene-size 5 5", 2, "larger than the scene of 5 x 5"),
    "two sources": ("--clutter-level 4 --drawings x.npz", 2, "--images and --drawings both name characters"),
}


@pytest.mark.parametrize("case", BAD_OWN)
def test_bad_input_with_own_images_ends_in_one_sentence(synthetic_drawings, tmp_path, case):
    words, n_characters, message = BAD_OWN[case]
    folder = write_own_images(tmp_path / "own", synthetic_drawings, n_characters)
    with pytest.raises(SystemExit) as caught:
        main(["render", "--images", str(folder), "--seed", "1", "--sha256", *words.split()])
    sentence = str(caught.value.code)
    assert sentence.startswith("error: ")
    assert message in sentence
    assert "\n" not in sentence


BAD = {
    "a drawer too many": (GOOD.replace("0:10", "0:21"), "drawers 0:21"),
    "no characters in the scene": (GOOD.replace("level 4", "level 0"), "clutter_level is 0"),
    "a negative seed": (GOOD.replace("seed 3", "seed -3"), "seed is -3"),
    "no scenes": (GOOD.replace("scenes 2", "scenes 0"), "n_scenes is 0"),
    "too small a scene": (f"{GOOD} --scene-size 10 10", "larger than the scene of 10 x 10"),
    "a share above one": (f"{GOOD} --empty 2", "empty_share is 2.0"),
    "jobs beyond the last": ("write --split val-train --clutter-level 4 --jobs 0:6 --out .", "--jobs 0:6"),
    "no name of a file": (GOOD.replace("--sha256", "--out ."), "'.' is a folder: give the name of a file"),
    "negative jobs": ("write --split val-train --clutter-level 4 --jobs=-2:1 --out .", "--jobs -2:1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence(file, tmp_path, case):
    words, message = BAD[case]
    with pytest.raises(SystemExit) as caught:
        main([*words.split(), "--drawings", str(file)])
    sentence = str(caught.value.code)
    assert sentence.startswith("error: ")
    assert message in sentence
    assert "\n" not in sentence


def test_files_that_cannot_be_read_or_written_end_in_one_sentence(file, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: .*[Dd]irectory"):
        main([*GOOD.replace("--sha256", "").split(), "--out", str(tmp_path), "--drawings", str(file)])
    assert list(tmp_path.iterdir()) == []
    damaged = Path(shutil.copy(file, tmp_path))
    cut_off(damaged)
    with pytest.raises(SystemExit, match=r"^error: .*drawings\.npz"):
        main([*GOOD.split(), "--drawings", str(damaged)])


def test_an_error_exits_with_status_1_and_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "oneshot", *GOOD.split(), "--drawings", str(tmp_path / "none.npz")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "none.npz is missing" in done.stderr


@pytest.mark.parametrize("words", ["write --split train --clutter-level 4 --out x --drawings x", "verify x"])
@pytest.mark.parametrize("n_workers", ["0", "-2", "1.5", "two"])
def test_a_number_of_workers_is_at_least_1_or_minus_1_for_all_cores(words, n_workers, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*words.split(), f"--workers={n_workers}"])
    assert caught.value.code == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert f"argument --workers: '{n_workers}' is no number of workers: give 1 or more, or -1" in sentence


@pytest.mark.parametrize(
    "words",
    [
        GOOD.replace("0:10", "ten"),
        GOOD.replace("train", "evaluation"),
        GOOD.replace("--clutter-level 4 ", ""),
        GOOD.replace("--sha256", ""),
        "write --split train --clutter-level 5 --out .",
        "",
    ],
)
def test_unparsable_words_exit_with_the_usage(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert caught.value.code == 2
    assert "usage: python -m oneshot" in capsys.readouterr().err


def test_write_renders_the_jobs_asked_for_and_keeps_them(file, synthetic_drawings, tmp_path, capsys):
    words = ["write", "--split", "train", "--clutter-level", "4", "--jobs", "1:3", "--workers", "2"]
    main([*words, "--out", str(tmp_path), "--drawings", str(file)])
    paths = sorted(tmp_path.rglob("*.zip"))
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "4/train/part-1.zarr.zip", "4/train/part-2.zarr.zip"
    ]  # fmt: skip
    part = list_parts(4, "train", synthetic_drawings.sha256())[1]
    scenes = render_job(lay_out(synthetic_drawings, "train"), part.recipe, part.seed)
    found, _ = read_part(paths[0])
    assert np.array_equal(found.labels, scenes.labels)
    times = [path.stat().st_mtime_ns for path in paths]
    main([*words, "--out", str(tmp_path), "--drawings", str(file)])
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_verify_stops_at_missing_and_at_other_scenes(file, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: .*4/val-train/part-0\.zarr\.zip is missing"):
        main(["verify", str(tmp_path)])
    words = ["write", "--split", "val-train", "--clutter-level", "4"]
    main([*words, "--out", str(tmp_path), "--drawings", str(file)])
    with pytest.raises(SystemExit, match=r"^error: val-train at clutter level 4 .* is not the published set"):
        main(["verify", str(tmp_path)])


def test_load_scenes_crosses_the_borders_of_jobs(synthetic_drawings):
    scenes = load_scenes("val-one-shot", 3, 2005, synthetic_drawings)
    assert len(scenes) == 2005
    split = find_split("val-one-shot")
    second = render_job(
        lay_out(synthetic_drawings, "eval"),
        SceneRecipe(3, "eval", (10, 20)),
        job_seeds(split.split_seed, 5)[1],
        5,
    )
    assert np.array_equal(scenes.labels[2000:], second.labels)
    assert len(load_scenes("test-train", 1, drawings=synthetic_drawings)) == 10_000


@pytest.mark.parametrize("n_scenes", [10_001, 0, -5])
def test_load_scenes_refuses_impossible_numbers(synthetic_drawings, n_scenes):
    with pytest.raises(ParameterError, match=r"val-train has 10,000 scenes at every clutter level, not "):
        load_scenes("val-train", 4, n_scenes, synthetic_drawings)


@pytest.mark.parametrize("n_threads", [0, -1])
def test_load_scenes_refuses_less_than_a_thread(synthetic_drawings, n_threads):
    with refusing(ParameterError, f"n_threads is {n_threads}; it must be at least 1"):
        load_scenes("val-train", 4, 1, synthetic_drawings, n_threads)


@pytest.mark.omniglot
def test_the_published_training_job_of_16_characters_is_drawn_as_the_plain_renderer_draws_it(
    drawings, tmp_path, render
):
    save_drawings(tmp_path / "drawings.npz", drawings)
    words = "--characters train --drawers 0:10 --clutter-level 16 --seed 1949012 --scenes 50"
    found = render(tmp_path / "drawings.npz", words)
    assert found == draw_sums(drawings, SceneRecipe(16, "train", (0, 10)), 1949012, 50)


@pytest.mark.parametrize("words", ["stages.tables", "oneshot verify"])
def test_ctrl_c_while_a_command_imports_is_one_sentence(words: str, tmp_path: Path) -> None:
    command = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", *words.split()], cwd=tmp_path, text=True,
        env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & has it ignored
    )  # fmt: skip
    assert command.stderr
    for line in command.stderr:
        if line.split("|")[-1].strip() == "numpy":  # with seconds of imports to come
            break
    command.send_signal(signal.SIGINT)
    said = [line for line in command.communicate()[1].splitlines() if not line.startswith("import time:")]
    assert said == ["error: interrupted: run the same command again to go on"]
    assert command.returncode == 130
