"""Where the pipeline's files lie, relative to the project's top level, from which every stage runs."""

from pathlib import Path

FACTS = Path("oneshot/published/omniglot.json")
RAW = Path("data/raw")
DRAWINGS = Path("data/drawings/drawings.npz")
CLASSES = Path("data/classes/images.npz")  # own images, where classification is about such
MNIST = Path("data/mnist")
NOT_FETCHED = MNIST / "not_fetched.txt"  # in place of MNIST: why
SCENES = Path("data/scenes")
MANIFESTS = Path("data/manifests")
MODELS = Path("models")
RUNS = Path("runs")  # what a killed training run goes on from; neither DVC's nor Git's
METRICS = Path("metrics")
PREDICTIONS = Path("predictions")
TABLES = Path("tables")
FIGURES = Path("figures")
README = Path("README.md")
RECORDED = Path("recorded")  # long runs: plain files in Git, which stages read and only stages.record writes


def net_folder(kind: str, net: str) -> Path:
    """Of a network trained here: its kind, such as siamese_unet, and its name, such as joint."""
    return MODELS / kind / net
