"""Export of released networks as ONNX, which onnxruntime computes and compares with PyTorch at once."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.classify.nets.network import Network
from oneshot.errors import OneshotError, ParameterError, shorten
from oneshot.files import replacing
from oneshot.library import list_classifiers, list_networks, load_classifier, load_network, load_scenes
from oneshot.machine import import_optional
from oneshot.omniglot.drawings import Drawings, unpack_rows
from oneshot.segment.batches import code, decode, pixel_statistics
from oneshot.segment.evaluate_matcher import read_scenes
from oneshot.segment.group_batches import shares
from oneshot.segment.nets.colour_matcher import ColourMatcher, EncoderPair
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.tensors import NetworkInfo

ONNX_TOLERANCE = 1e-4  # of the largest value of an output, or of 1 if that is larger
N_TRACED = 2  # along an axis of any length: a graph traced with one thing could be for one alone
CHECKED_LEVEL, CHECKED_SPLIT = 32, "test-one-shot"  # of the scenes that outputs are compared on
N_SCENES, N_DRAWINGS = 8, 24
EXPORTER_LOG = "torch.onnx._internal.exporter._registration"  # says that torchvision is not installed


class ExportError(OneshotError):
    """Network that cannot be exported, or that computes something else as ONNX."""


@dataclass(frozen=True)
class Graph:
    """Module to be exported, and real inputs by name to compare on.

    axes: of every input, the name of its first axis if that may have any length; outputs: their names.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    axes: dict[str, str | None]
    outputs: tuple[str, ...]

    def first(self, n: int) -> tuple[Tensor, ...]:
        """Give inputs with so many things along the axes of any length."""
        return tuple(value[:n] if self.axes[name] else value for name, value in self.inputs.items())


@dataclass(frozen=True)
class Difference:
    """Largest difference between PyTorch's and onnxruntime's values of an output, and the largest value."""

    output: str
    difference: float
    largest: float

    @property
    def tolerated(self) -> float:
        """Largest difference with which a network is written."""
        return ONNX_TOLERANCE * max(1.0, self.largest)


class ImageComparison(nn.Module):
    """Classifier from images to scores: every query against every image of a support set."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, queries: Float[Tensor, "q 105 105"], supports: Float[Tensor, "s 105 105"]
    ) -> tuple[Float[Tensor, "q s"], Float[Tensor, "q c"]]:
        """Give scores, higher for more alike, and the queries' codes."""
        codes = self.net.encoder(torch.cat([queries, supports]))  # once: the graph is half as long
        n_queries = queries.shape[0]  # of len() the exporter makes a constant
        asked, shown = codes[:n_queries], codes[n_queries:]
        return self.net.compare(asked, shown), asked


class GroupComparison(nn.Module):
    """Colour matcher from crops to scores: all groups of a scene against its target."""

    def __init__(self, net: ColourMatcher) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        pixels: Float[Tensor, "g 2 size size"],
        shapes: Float[Tensor, "g 4"],
        target_pixels: Float[Tensor, "1 2 size size"],
        target_shapes: Float[Tensor, "1 4"],
    ) -> tuple[Float[Tensor, " g"], Float[Tensor, " g"]]:
        """Give the groups' scores when looked at closely, and at a glance."""

        def score(pair: EncoderPair) -> Float[Tensor, " g"]:
            codes, numbers = pair.groups(pixels, shapes)
            target_codes, _ = pair.targets(target_pixels, target_shapes)
            return pair.log_scale.exp() * (codes * target_codes).sum(1) + numbers

        return score(self.net.whole), score(self.net.glance)


def export_network(path: Path, name: str, drawings: Drawings | None = None) -> list[Difference]:
    """Write a released network, of either task, as ONNX, once its outputs are found to be the same.

    drawings: what the compared inputs are made of; None: as `fetch_drawings` gives them.

    Raises:
        ParameterError: no such network is released.
        WeightsError: its file is not here, or damaged.
        MissingPackageError: a package that this needs is not installed.
        ExportError: ONNX cannot express it, or onnxruntime computes something else.
    """
    graph, info = draw_graph(name, drawings)
    import_optional("onnxscript")  # which PyTorch's exporter needs
    content = convert(graph, {"name": name, "task": info.task, "net": info.net, **(info.statistics or {})})
    differences = compare_outputs(graph, content)
    for one in differences:
        if not one.difference <= one.tolerated:  # nor NaN
            raise ExportError(
                f"{one.output} of {name} differs by {one.difference:.2g} between PyTorch and onnxruntime, by "
                f"more than the {one.tolerated:.2g} that are tolerated: {path} was not written."
            )
    with replacing(path) as file:
        file.write(content)
    return differences


def draw_graph(name: str, drawings: Drawings | None) -> tuple[Graph, NetworkInfo]:
    """Load a released network with real inputs for it."""
    if name in list_classifiers():
        scorer, info = load_classifier(name)
        return graph_of_classifier(scorer.net, drawings), info
    if name not in list_networks():
        there = ", ".join([*list_networks(), *list_classifiers()]) or "none yet"
        raise ParameterError(f"no network {name} is released; there are: {there}.")
    net, info = load_network(name)
    if isinstance(net, ColourMatcher):
        return graph_of_matcher(net, drawings), info
    if isinstance(net, SiameseUNet):
        return graph_of_siamese(net, drawings), info
    raise ExportError(
        f"{name} is a {type(net).__name__}, of which there is no export: its answer is no graph."
    )


def graph_of_classifier(net: Network, drawings: Drawings | None) -> Graph:
    """Give a classifier with drawings of test characters, each asked once and shown once."""
    from oneshot.library import fetch_drawings

    bits = (drawings or fetch_drawings()).of("test").bits[:N_DRAWINGS]
    queries, supports = (torch.from_numpy(unpack_rows(bits[:, drawer])).float() for drawer in (0, 1))
    return Graph(
        ImageComparison(net),
        {"queries": queries, "supports": supports},
        {"queries": "n_queries", "supports": "n_supports"},
        ("scores", "query_codes"),
    )


def graph_of_siamese(net: SiameseUNet, drawings: Drawings | None) -> Graph:
    """Give a Siamese-U-Net with scenes and targets, normalised by the scenes' own statistics."""
    scenes = load_scenes(CHECKED_SPLIT, CHECKED_LEVEL, N_SCENES, drawings)
    batch = decode(code(scenes), slice(None), pixel_statistics(scenes))
    inputs = {"scenes": batch.images, "targets": batch.targets}
    return Graph(net, inputs, dict.fromkeys(inputs, "n_scenes"), ("logits",))


def graph_of_matcher(net: ColourMatcher, drawings: Drawings | None) -> Graph:
    """Give a colour matcher with the crops of one scene and its target."""
    scenes = load_scenes(CHECKED_SPLIT, CHECKED_LEVEL, 1, drawings)
    _, groups, target = read_scenes(scenes, net.framing)
    inputs = {}
    for prefix, crops in (("", groups), ("target_", target)):
        inputs[f"{prefix}pixels"] = shares(torch.from_numpy(crops.pixels), torch.contiguous_format)
        inputs[f"{prefix}shapes"] = torch.from_numpy(crops.shapes)
    axes = {name: None if name.startswith("target_") else "n_groups" for name in inputs}
    return Graph(GroupComparison(net), inputs, axes, ("scores", "glances"))


def convert(graph: Graph, properties: dict[str, Any]) -> bytes:
    """Trace a graph and give its ONNX file, which names the properties as its metadata."""
    onnx = import_optional("onnx")
    axes = {name: torch.export.Dim(name) for name in graph.axes.values() if name}
    shapes = tuple({0: axes[name]} if name else None for name in graph.axes.values())
    try:
        with quiet_exporter():
            program = torch.onnx.export(
                graph.module.eval(), graph.first(N_TRACED), dynamo=True, verbose=False,
                input_names=list(graph.inputs), output_names=list(graph.outputs), dynamic_shapes=shapes,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"PyTorch cannot export {properties['name']}: {type(error).__name__}.") from error
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {name: str(value) for name, value in properties.items()})
    return bytes(model.SerializeToString())


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Leave out what PyTorch's exporter says of itself: old names, shared axes, a package it lacks."""
    log = logging.getLogger(EXPORTER_LOG)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name: ", UserWarning)
            yield
    finally:
        log.setLevel(level)


@torch.no_grad()
def compare_outputs(graph: Graph, content: bytes) -> list[Difference]:
    """Compute all inputs, and the first alone, in onnxruntime and in PyTorch.

    Raises:
        ExportError: onnxruntime cannot.
    """
    runtime = import_optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    found = []
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for n in (1, max(map(len, graph.inputs.values()))):
            inputs = graph.first(n)
            right = as_tuple(graph.module(*inputs))
            outputs = session.run(
                None, {name: value.numpy() for name, value in zip(graph.inputs, inputs, strict=True)}
            )
            pairs = zip((value.numpy() for value in right), outputs, strict=True)
            found.append([(np.abs(one - other).max(), np.abs(one).max()) for one, other in pairs])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise ExportError(f"onnxruntime cannot compute the network: {shorten(str(error))}.") from error
    both = np.max(found, axis=0)  # NaN where there is any
    return [Difference(name, *map(float, values)) for name, values in zip(graph.outputs, both, strict=True)]


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
