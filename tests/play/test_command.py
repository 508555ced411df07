"""The command play: how it begins, ends, and says what is missing."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oneshot.__main__ import main
from oneshot.omniglot.drawings import save_drawings
from oneshot.omniglot.synthetic import draw_alphabets
from oneshot.published import read_facts
from tests.conftest import ROOT


@pytest.mark.slow
def test_the_command_serves_the_page_until_ctrl_c(tmp_path: Path) -> None:
    """Without a file of Lake's trials those of the benchmark within an alphabet are played."""
    drawn = draw_alphabets(np.random.default_rng(1), {"train": 1, "eval": 1, "test": 10}, 20)
    names = np.repeat(["a", "b", *read_facts("episodes")["alphabets"]["test"]], 20)
    save_drawings(tmp_path / "drawings.npz", replace(drawn, alphabets=names))
    recorded = tmp_path / "recorded"
    for run in ("segmentation/colour_matcher-long", "classification/contrastive-long"):
        (recorded / run).parent.mkdir(parents=True)
        (recorded / run).symlink_to(ROOT / "recorded" / run)
    server = subprocess.Popen(
        [sys.executable, "-m", "oneshot", "play", "--drawings", str(tmp_path / "drawings.npz")],
        cwd=ROOT, env=os.environ | {"ONESHOT_RECORDED": str(recorded)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
        assert found is not None
        request = urllib.request.Request(
            f"{found[0]}api/describe", b"{}", {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            assert b'"within-alphabet"' in reply.read()
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=30)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0
    lines = said.splitlines()
    assert lines[-1] == "Ended."
    assert lines[1].startswith("note: Siamese-U-Net does not play: no network siamese_unet-joint-fast-24")
    assert "Traceback" not in said


@pytest.mark.parametrize("port", ["x", "-1", "70000", "1" * 5000])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["play", f"--port={port}"])
    assert "is no port: give 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_one_sentence_names_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "oneshot.play.server", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    sentence = rf"error: {package} is not installed: install it(, or this package with its extra play)?\.$"
    with pytest.raises(SystemExit, match=sentence):
        main(["play"])
