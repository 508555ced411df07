"""Images of classification, as all its stages read them: protocols, Lake's runs, MNIST."""

from pathlib import Path

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.benchmarks import draw_mnist
from oneshot.classify.protocols import Protocols, find_protocols, own_protocols
from oneshot.classify.scoring import Outside
from oneshot.omniglot.drawings import load_drawings
from oneshot.omniglot.mnist import MNIST_IMAGES, MNIST_LABELS, ink_images, read_mnist
from oneshot.omniglot.own_images import load_own_images
from oneshot.params import Params
from oneshot.published import read_facts
from stages.places import CLASSES, DRAWINGS, MNIST, NOT_FETCHED, RAW
from stages.source import is_own


def read_protocols(params: Params) -> Protocols:
    """Read the protocols from what the stage prepare_classes has checked."""
    if is_own(params):
        return own_protocols(load_own_images(CLASSES), params.other_images)
    return find_protocols(load_drawings(DRAWINGS), params.other_images)


def read_outside(protocols: Protocols) -> tuple[dict[str, Outside], dict[str, str]]:
    """Read Lake's runs and MNIST, which go with Omniglot; and the reason for what is not available."""
    if protocols.source != "omniglot":
        return {}, {}
    outside = {"all_runs": Outside(*read_all_runs(RAW / "all_runs.zip"))}
    if NOT_FETCHED.exists():
        return outside, {"mnist": NOT_FETCHED.read_text().strip()}
    return outside | {"mnist": read_digits(MNIST)}, {}


def read_digits(folder: Path) -> Outside:
    """Read Koch's trials on the MNIST files in a folder, with the images that they need."""
    grey, labels = read_mnist(folder / MNIST_IMAGES, folder / MNIST_LABELS, read_facts("mnist"))
    episodes = draw_mnist(labels)
    needed = episodes.needed()
    return Outside(ink_images(grey[needed]), episodes.renumbered(needed))
