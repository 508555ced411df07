"""Places of the pipeline's files, relative to the project's top level, from which every stage runs."""

from pathlib import Path

RAW = Path("data/raw")
DRAWINGS = Path("data/drawings/drawings.npz")
CLASSES = Path("data/classes/images.npz")  # own images, where classification uses such
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
PLAYED = Path("recorded/played")  # files of answers that people saved on the page of `oneshot play`
RECORDED = Path(
    "recorded"
)  # long runs: plain files in Git, which stages read and only stages.record writes, but for PLAYED


def net_folder(task: str, name: str) -> Path:
    """Find the folder of a network trained here."""
    return MODELS / task / name


def weights_of(task: str, name: str) -> Path:
    """Find the weights of a network trained here."""
    return net_folder(task, name) / "weights.safetensors"


def about_of(task: str, name: str) -> Path:
    """Find what is known of a network trained here, its weights' SHA-256 included."""
    return net_folder(task, name) / "about.json"
