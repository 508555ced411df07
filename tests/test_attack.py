"""The attack notices what did not hold: it cannot end well by looking away."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests import attack
from tests.attack import (
    ACCEPTED,
    DAMAGES,
    FINE,
    REFUSED,
    SAME,
    Clones,
    Ended,
    damage,
    judge,
    list_places,
)


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clones:
    """Two folders with the outputs of one stage, alike but for a time."""
    monkeypatch.setattr(attack, "outputs", lambda stage: {"out": False})
    for number, name in enumerate(("whole", "attacked")):
        folder = tmp_path / name / "out"
        folder.mkdir(parents=True)
        (folder / "a.json").write_text(json.dumps({"iou": 0.5, "seconds": number}))
        (folder / "b.npz").write_bytes(b"bytes")
    return Clones(tmp_path / "whole", tmp_path / "attacked")


def test_times_may_differ_and_nothing_else(clones: Clones) -> None:
    assert judge(Ended(0, ""), clones, "stage") == SAME
    for name, content in {"a.json": '{"iou": 0.6, "seconds": 1}', "b.npz": "other", "c": "one more"}.items():
        again = clones.copy()
        (again / "out" / name).write_text(content)
        assert judge(Ended(0, ""), clones, "stage").startswith("DIFFERENT out")


def test_half_written_files_are_noticed_but_not_checkpoints(clones: Clones) -> None:
    for folder in ("runs/train", "tables"):
        (clones.attacked / folder).mkdir(parents=True)
    (clones.attacked / "runs/train/x.1.partial").touch()
    assert judge(Ended(0, ""), clones, "stage") == SAME
    (clones.attacked / "tables/x.1.partial").touch()
    assert judge(Ended(0, ""), clones, "stage").startswith("LEFT")


@pytest.mark.parametrize(
    ("status", "errors", "verdict"),
    [
        (1, "error: no such thing\n", REFUSED),
        (1, "Traceback (most recent call last):\n  x\nKeyError: 1\n", "TRACEBACK KeyError: 1"),
        (0, "Traceback (most recent call last):\nKeyError: 1\n", "TRACEBACK KeyError: 1"),
        (-9, "", "SILENT -9 "),
        (-6, "Aborted\n", "SILENT -6 Aborted\n"),
    ],
)
def test_how_a_command_ended(status: int, errors: str, verdict: str, clones: Clones) -> None:
    assert judge(Ended(status, errors), clones, "stage") == verdict
    assert {REFUSED, SAME, ACCEPTED} <= {*FINE}


@pytest.mark.parametrize("how", DAMAGES)
def test_every_damage_changes_the_file(how: str, tmp_path: Path) -> None:
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text('{"one": 1}')
    other.write_text('{"two": 2}')
    damage(path, how, random.Random(0))
    assert not path.is_file() or path.read_text(errors="replace") != '{"one": 1}'
    assert other.read_text() == '{"two": 2}'


def test_any_value_and_section_can_be_changed() -> None:
    values = {"a": {"b": [1, {"c": None}]}, "d": 2}
    assert [key for _, key in list_places(values)] == ["a", "b", 0, 1, "c", "d"]


def test_the_page_of_an_attack_under_way_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack, "PAGE", tmp_path / "attack.md")
    found = [("an input", attack.SAME)]
    counts: Counter[tuple[str, str, str]] = Counter()
    attacks = {"first": iter(found * 2), "second": iter([("another", "TRACEBACK of something")])}
    pages = []
    monkeypatch.setattr(attack, "write_text", lambda path, text: pages.append(text))
    assert attack.run_attacks(attacks, counts, " --seed 0") == 1
    assert "Not finished: second." in pages[0]
    assert f"| first | an input | {attack.SAME} | 2 |" in pages[0]
    assert "Not finished" not in pages[1]
    assert "| second | another | TRACEBACK | 1 |" in pages[1]
