"""The page on formats: its commands run as they stand, on synthetic alphabets and images of these."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot.__main__ import main
from oneshot.omniglot.drawings import Drawings, save_drawings
from tests.conftest import ROOT
from tests.test_docs import blocks

COMMAND = "python -m oneshot "
LINES = [line for block in blocks(ROOT / "docs/formats.md", "sh") for line in block.splitlines()]


def test_the_page_has_a_command_for_every_format_and_for_own_characters() -> None:
    assert all(line.startswith(COMMAND) for line in LINES)
    words = " ".join(LINES)
    for each in ("npy", "coco", "parquet", "png", "onnx"):
        assert f"--format {each} " in words
    assert "--images characters " in words


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in LINES if "onnx" not in line])  # that is in test_network.py
def test_a_command_of_the_page_runs(
    line: str, synthetic_drawings: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k, character in enumerate(synthetic_drawings.of("test").unpack()[:3, :2]):
        for hand, drawing in enumerate(character):
            path = tmp_path / "characters" / f"{k}" / f"{hand}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(255 * (1 - drawing)).save(path)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.removeprefix(COMMAND))
    if "--images" not in words:
        save_drawings(Path("drawings.npz"), synthetic_drawings)
        words += ["--drawings", "drawings.npz"]
    main(words)
    out = Path(words[words.index("--out") + 1])
    if out.suffix == ".npz":
        size = (160, 120) if "--scene-size" in words else (96, 96)
        with np.load(out) as arrays:
            assert arrays["images"].shape == (20, *size[::-1], 3)
            assert arrays["segmentation"].any((1, 2, 3)).all()
    else:
        assert (out / "export.json").is_file()
