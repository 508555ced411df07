"""The search for the numbers that the paper does not tell: draws in its ranges, a table that can go on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from oneshot.classify.koch_search import LEAST_L2, Trial, draw_trial
from oneshot.classify.nets.bases import BASES
from oneshot.classify.recipes import RANGES
from oneshot.errors import ParameterError, TrainingError
from stages import search_published
from tests.classify.test_classifiers import TinyBase
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BASES, "tiny", TinyBase)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def search(*more: str, trials: int = 2, minutes: float = 10) -> None:
    words = [
        "pairs_30000_affine",
        "--scale",
        "smoke",
        "--base",
        "tiny",
        "--device",
        "cpu",
        "--out",
        "found.csv",
    ]
    search_published.main([*words, "--trials", str(trials), "--minutes", str(minutes), *more])


def test_trials_lie_in_the_published_ranges_and_all_over_them() -> None:
    trials = [draw_trial(0, number, 6) for number in range(300)]
    lrs, momenta, l2s = (
        np.array([getattr(trial, part) for trial in trials]) for part in ("lrs", "momenta", "l2s")
    )
    for values, (low, high) in ((lrs, RANGES["lrs"]), (momenta, RANGES["momenta"]), (l2s, (LEAST_L2, 0.1))):
        assert values.shape == (300, 6)
        assert low <= values.min()
        assert values.max() <= high
    # Half of them below the middle, by the logarithm where that is what is drawn.
    assert np.mean(lrs < 10**-2.5) == pytest.approx(0.5, abs=0.05)
    assert np.mean(momenta < 0.5) == pytest.approx(0.5, abs=0.05)
    assert np.mean(l2s < 10**-3.5) == pytest.approx(0.5, abs=0.05)


def test_a_trial_depends_on_its_number_and_the_seed_alone() -> None:
    assert draw_trial(3, 5, 6) == draw_trial(3, 5, 6)
    assert draw_trial(3, 5, 6) != draw_trial(3, 6, 6)
    assert draw_trial(3, 5, 6) != draw_trial(4, 5, 6)


def test_every_trial_is_kept_and_the_best_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    search()
    table = pd.read_csv("found.csv")
    assert table["trial"].tolist() == [0, 1]
    expected = draw_trial(1803, 1, 6).row()
    for key, value in expected.items():
        if key[:3] in ("lrs", "mom", "l2s"):
            assert table.loc[1, key] == value
    assert (table["n_seen"] > 0).all()
    assert table["validation_error"].between(0, 1).all()
    told = capsys.readouterr().err.splitlines()[-1]
    best = draw_trial(1803, int(table["validation_error"].idxmin()), 6)
    assert f"--lrs {' '.join(f'{lr:g}' for lr in best.lrs)} --momenta " in told


def test_the_same_command_goes_on_with_the_trials_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def try_out(plan: Any, trial: Trial, *_: Any) -> Trial:
        tried.append(trial.number)
        if len(tried) == 3:
            raise KeyboardInterrupt
        return trial

    monkeypatch.setattr(search_published, "try_out", try_out)
    with pytest.raises(KeyboardInterrupt):
        search(trials=4)
    search(trials=4)
    assert tried == [0, 1, 2, 2, 3]
    assert pd.read_csv("found.csv")["trial"].tolist() == [0, 1, 2, 3]


def test_the_table_of_another_search_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_published, "try_out", lambda plan, trial, *_: trial)
    search()
    with pytest.raises(ParameterError, match=r"found\.csv is of another search \(minutes 10.0, not 3.0\)"):
        search(minutes=3)


def test_a_diverged_trial_is_no_error_but_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise TrainingError("training with recipe 'published' diverged by step 3 of 4")

    monkeypatch.setattr(search_published, "fit_pairs", diverge)
    search()
    assert pd.read_csv("found.csv")["validation_error"].isna().all()
    assert capsys.readouterr().err.splitlines()[-1] == "all 2 trials diverged"


def test_other_errors_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise TrainingError("memory ran out")

    monkeypatch.setattr(search_published, "fit_pairs", fail)
    with pytest.raises(TrainingError, match="memory ran out"):
        search()
    with pytest.raises(ParameterError, match="scale 'laptop' does not train pairs_30000"):
        search_published.main(["pairs_30000", "--scale", "laptop", "--minutes", "1"])


def test_the_run_list_names_a_search_that_there_is() -> None:
    text = (ROOT / "results/README.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("python -m stages.search_published ")]
    assert len(lines) == 1
    found = search_published.build_parser().parse_args(lines[0].split()[3:])
    assert (found.net, found.trials, found.device) == ("pairs_30000", 16, "cuda")
    assert found.minutes <= 9
