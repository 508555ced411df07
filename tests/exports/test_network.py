"""Networks as ONNX: the same outputs as PyTorch's for any number of inputs, or no file."""

import re
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from oneshot.__main__ import main
from oneshot.errors import MissingPackageError
from oneshot.exports import network
from oneshot.exports.network import ExportError, Graph, compare_outputs, convert, export_network
from oneshot.library import load_classifier, load_network, load_scenes
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.segment.batches import code, decode, pixel_statistics
from oneshot.segment.evaluate import segment
from oneshot.segment.evaluate_matcher import read_scenes
from tests.conftest import refusing
from tests.exports.test_formats_page import COMMAND, LINES

pytestmark = pytest.mark.slow


def run(path, **inputs) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_the_command_of_the_page_exports_a_classifier_that_scores_as_pytorch_does(
    synthetic_drawings: Drawings, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    save_drawings(tmp_path / "drawings.npz", synthetic_drawings)
    (line,) = [line for line in LINES if "onnx" in line]
    main([*line.removeprefix(COMMAND).split(), "--drawings", "drawings.npz"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in printed] == ["scores", "query_codes"]
    for line in printed:
        match = re.search(r"difference (\S+) of values up to \S+ \(tolerated: (\S+)\)", line)
        assert match
        assert 0 <= float(match[1]) <= float(match[2]) < 0.1
    name, path = "contrastive-long", tmp_path / "contrastive-long.onnx"
    images = synthetic_drawings.of("eval").unpack()
    queries, supports = images[:5, 3], images[:7, 4]
    scorer, _ = load_classifier(name)
    codes = scorer.encode(queries)
    scores = scorer.compare(codes, scorer.encode(supports))
    found = run(path, queries=queries.astype(np.float32), supports=supports.astype(np.float32))
    assert found[0].shape == (5, 7)
    np.testing.assert_allclose(found[0], scores, atol=1e-4)
    np.testing.assert_allclose(found[1], codes, atol=1e-2)


def test_siamese_u_net_finds_the_masks_that_pytorch_finds(synthetic_drawings, tmp_path):
    path = tmp_path / "x.onnx"
    export_network(path, "siamese_unet-4-fast", synthetic_drawings)
    scenes = load_scenes("val-one-shot", 4, 3, synthetic_drawings)
    statistics = pixel_statistics(scenes)
    batch = decode(code(scenes), slice(None), statistics)
    (logits,) = run(path, scenes=batch.images.numpy(), targets=batch.targets.numpy())
    net, info = load_network("siamese_unet-4-fast")
    masks = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])) > 0.3
    assert masks.any()
    assert (masks != segment(net, scenes, statistics)).mean() < 1e-3
    properties = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert info.statistics is not None
    assert properties == {
        "name": "siamese_unet-4-fast",
        "task": "segmentation",
        "net": "siamese_unet",
        "mean": str(info.statistics["mean"]),
        "std": str(info.statistics["std"]),
    }


def test_the_colour_matcher_chooses_the_group_that_pytorch_chooses(synthetic_drawings, tmp_path):
    path = tmp_path / "x.onnx"
    export_network(path, "colour_matcher-long", synthetic_drawings)
    net, _ = load_network("colour_matcher-long")
    scenes = load_scenes("val-one-shot", 16, 2, synthetic_drawings)
    for k in range(2):
        groups, crops, target = read_scenes(scenes[k : k + 1], net.framing)
        scores, glances = run(
            path,
            pixels=crops.pixels.astype(np.float32) / 4,
            shapes=crops.shapes,
            target_pixels=target.pixels.astype(np.float32) / 4,
            target_shapes=target.shapes,
        )
        assert scores.shape == glances.shape == (groups.counts[0],)
        assert groups.counts[0] < 48  # so that all groups are looked at closely
        chosen = groups.maps[0] == 1 + scores.argmax()
        assert np.array_equal(chosen, segment(net, scenes[k : k + 1], pixel_statistics(scenes))[0])


@pytest.fixture
def line() -> Graph:
    """A tiny module on inputs of any number."""
    torch.manual_seed(0)
    return Graph(nn.Linear(3, 2), {"x": torch.randn(5, 3)}, {"x": "n"}, ("y",))


def test_a_network_that_computes_something_else_is_not_written(line, tmp_path, monkeypatch):
    content = convert(line, {"name": "line"})
    (same,) = compare_outputs(line, content)
    assert same.difference <= same.tolerated
    (found,) = compare_outputs(replace(line, inputs={"x": torch.full((5, 3), torch.nan)}), content)
    assert np.isnan(found.difference)
    other = nn.Linear(3, 2)
    other.load_state_dict({"weight": line.module.weight, "bias": line.module.bias + torch.tensor([0.0, 0.5])})
    (found,) = compare_outputs(replace(line, module=other), content)
    assert found.difference == pytest.approx(0.5)
    assert found.difference > found.tolerated

    class Summing(nn.Module):  # which for a single input is the same
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return line.module(x).cumsum(0)

    (found_of_many,) = compare_outputs(replace(line, module=Summing()), content)
    assert found_of_many.difference > found_of_many.tolerated
    about = type("About", (), {"task": "segmentation", "net": "line", "statistics": None})()
    monkeypatch.setattr(network, "draw_graph", lambda name, drawings: (line, about))
    monkeypatch.setattr(network, "convert", lambda graph, properties: content)
    monkeypatch.setattr(network, "compare_outputs", lambda graph, content: [found])
    with refusing(ExportError, r"y of line differs by 0\.5 between .* was not written"):
        export_network(tmp_path / "x.onnx", "line")
    nan = replace(found, difference=float("nan"))
    monkeypatch.setattr(network, "compare_outputs", lambda graph, content: [nan])
    with refusing(ExportError, "differs by nan"):
        export_network(tmp_path / "x.onnx", "line")
    assert list(tmp_path.iterdir()) == []


def test_what_onnx_cannot_express_and_a_missing_package_end_in_one_sentence(line, monkeypatch):
    class Unknown(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor(np.asarray(x.tolist()))

    with refusing(ExportError, "PyTorch cannot export unknown"):
        convert(replace(line, module=Unknown()), {"name": "unknown"})
    with refusing(ExportError, "onnxruntime cannot compute the network"):
        compare_outputs(line, b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refusing(MissingPackageError, r"onnxruntime is not installed: .* its extra onnx"):
        compare_outputs(line, b"")
