"""Images of classification, as all its stages read them: protocols, Lake's runs, MNIST."""

from pathlib import Path

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.benchmarks import draw_mnist
from oneshot.classify.protocols import Protocols, find_protocols, own_protocols
from oneshot.classify.scoring import Outside
from oneshot.errors import ArchiveError
from oneshot.omniglot.download import md5
from oneshot.omniglot.drawings import load_drawings
from oneshot.omniglot.mnist import MNIST_IMAGES, MNIST_LABELS, ink_images, read_mnist
from oneshot.omniglot.own_images import load_own_images
from oneshot.params import Params
from oneshot.published import read_facts
from stages.places import CLASSES, DRAWINGS, MNIST, NOT_FETCHED, RAW
from stages.source import check_classes, is_own


def read_protocols(params: Params) -> Protocols:
    """Read the protocols from what the stage prepare_classes has checked."""
    if is_own(params):
        return own_protocols(load_own_images(check_classes(CLASSES)), params.other_images)
    return find_protocols(load_drawings(check_classes(DRAWINGS)), params.other_images)


def read_outside(
    protocols: Protocols, all_runs: Path | None = None, mnist: Path | None = None
) -> tuple[dict[str, Outside], dict[str, str]]:
    """Read Lake's runs and MNIST, which go with Omniglot: as named, or from their places if they are there.

    Also gives the reasons for what is not there.

    Raises:
        ArchiveError: a file that was named is missing, or one is damaged, or not the published one.
    """
    outside: dict[str, Outside] = {}
    not_computed: dict[str, str] = {}
    if protocols.source != "omniglot":
        return outside, not_computed
    path, folder = all_runs or RAW / "all_runs.zip", mnist or MNIST
    if all_runs or path.exists():
        outside["all_runs"] = Outside(*read_all_runs(path))
        if md5(path) != read_facts("omniglot")["archives"]["all_runs.zip"]["md5"]:
            raise ArchiveError(f"{path} is not Lake's published archive (its MD5 is {md5(path)}).")
    else:
        not_computed["all_runs"] = f"there was no {path.name} on that machine"
    if mnist or all((folder / name).exists() for name in (MNIST_IMAGES, MNIST_LABELS)):
        outside["mnist"] = read_digits(folder)
    else:
        reason = NOT_FETCHED.read_text(errors="replace").strip() if NOT_FETCHED.is_file() else ""
        not_computed["mnist"] = reason or "MNIST's test set was not on that machine"
    return outside, not_computed


def read_digits(folder: Path) -> Outside:
    """Read Koch's trials on the MNIST files in a folder, with the images that they need."""
    grey, labels = read_mnist(folder / MNIST_IMAGES, folder / MNIST_LABELS, read_facts("mnist"))
    episodes = draw_mnist(labels)
    needed = episodes.needed()
    return Outside(ink_images(grey[needed]), episodes.renumbered(needed))
