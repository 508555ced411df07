"""Fetch Omniglot's three archives or other files, from upstream or a mirror, and prove them right."""

import errno
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oneshot.errors import ArchiveError, DownloadError
from oneshot.files import partial_suffix, remove_left_over
from oneshot.omniglot.drawings import read_archive

MIRROR_ADVICE = "set OMNIGLOT_MIRROR to a folder or an http address that holds images_background.zip, \
images_evaluation.zip and all_runs.zip"
RETRIES = 2  # after a first try that failed
TIMEOUTS = (10, 60)  # seconds to connect, and between two pieces of the answer
CHUNK = 65_536  # bytes; pooch's own 1,024 writes and flushes 15,000 times


class NotFoundError(DownloadError):
    """Missing file at an address that answers: another revision may still have it."""


def fetch_archives(
    folder: Path, facts: Mapping[str, Any], mirror: str | None, progress: bool
) -> dict[str, Path]:
    """Put Omniglot's three archives into `folder`, as `fetch_files` does; returns their paths by name.

    facts: published/omniglot.json. Right is upstream's MD5, or for an image archive the published SHA-256 of
    the drawings in it (a mirror may have packed the same files again). Upstream, the pinned revision is asked
    first, then the branch's head: the MD5 is the proof either way.
    """

    def from_upstream(fetched: Path) -> None:
        archive = facts["archives"][fetched.name]
        pinned, head = (f"{facts['address']}/{facts[at]}/{archive['path']}" for at in ("revision", "branch"))
        try:
            download(pinned, fetched, archive["md5"], progress)
        except (NotFoundError, ArchiveError):
            download(head, fetched, archive["md5"], progress)

    is_right = partial(_is_archive, facts=facts)
    return fetch_files(folder, facts["archives"], mirror, is_right, from_upstream, MIRROR_ADVICE, progress)


def fetch_files(
    folder: Path,
    names: Iterable[str],
    mirror: str | None,
    is_right: Callable[[Path, str], bool],
    from_upstream: Callable[[Path], None],
    advice: str,
    progress: bool,
) -> dict[str, Path]:
    """Put files into `folder`: those already there and right are kept, without any network.

    mirror: a folder or an http(s) address where the files lie side by side; None: `from_upstream` fetches to
    a path. is_right: checks whether a path holds the file of a name. advice: what an error message asks for.
    progress: draw a bar on stderr while downloading. A wrong file is never put into `folder`.

    Raises:
        DownloadError: no network, no such mirror, an HTTP error, cut off, or no room on the disk.
        ArchiveError: what came is not the published file.
    """
    paths = {name: folder / name for name in names}
    wrong = [name for name, path in paths.items() if not (path.is_file() and is_right(path, name))]
    if not wrong:
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_left_over(folder)
        with tempfile.TemporaryDirectory(partial_suffix(), "fetching-", folder) as scratch:
            for name in wrong:
                fetched = Path(scratch) / name
                if mirror is None:
                    from_upstream(fetched)
                else:
                    origin = _from_mirror(fetched, mirror, progress, advice)
                    if not is_right(fetched, name):
                        raise ArchiveError(
                            f"{origin} is not the published file (its MD5 is {md5(fetched)}): {advice}"
                        )
                with fetched.open("rb+") as file:
                    os.fsync(file.fileno())  # on the disk before it has the name
                fetched.chmod(0o644)  # pooch leaves it readable by its owner only
                os.replace(fetched, paths[name])
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"no room left on the disk of {folder}: free about 20 MB and try again"
            ) from error
        raise DownloadError(f"cannot fetch files into {folder}: {error}") from error
    return paths


def md5(path: Path) -> str:
    """Compute the hexadecimal MD5 of a file, which identifies upstream's archives."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _is_archive(path: Path, name: str, facts: Mapping[str, Any]) -> bool:
    """Check that a file is the published archive `name`, or one with the same drawings."""
    archive = facts["archives"][name]
    if md5(path) == archive["md5"]:
        return True
    if not archive["character_sets"]:
        return False
    try:
        drawings = read_archive(path, name.removesuffix(".zip"))
    except ArchiveError:
        return False
    published = facts["drawings"]["by_character_set_sha256"]
    character_sets = dict.fromkeys(drawings.character_sets.tolist())
    return list(character_sets) == archive["character_sets"] and all(
        drawings.of(character_set).sha256() == published[character_set] for character_set in character_sets
    )


def _from_mirror(fetched: Path, mirror: str, progress: bool, advice: str) -> str:
    """Fetch from a folder or an http(s) address; returns where the file was."""
    if mirror.startswith(("http://", "https://")):
        origin = f"{mirror.rstrip('/')}/{fetched.name}"
        download(origin, fetched, None, progress, advice)
        return origin
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise DownloadError(f"the mirror {str(folder)!r} is no folder and no http address: {advice}")
    try:
        shutil.copyfile(folder / fetched.name, fetched)
    except FileNotFoundError:
        raise NotFoundError(f"the mirror {str(folder)!r} has no {fetched.name}: {advice}") from None
    return str(folder / fetched.name)


def download(
    address: str, fetched: Path, published_md5: str | None, progress: bool, advice: str = MIRROR_ADVICE
) -> None:
    """Fetch one file over HTTP: pooch tries again; only a whole file with the right MD5 becomes `fetched`.

    published_md5: None leaves the proof to the caller. advice: what an error message asks for.
    """
    # Imported here, so that the library also serves a machine that has the drawings but not these packages.
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)
    source = pooch.create(
        path=fetched.parent,
        base_url="",
        registry={fetched.name: published_md5 and f"md5:{published_md5}"},
        urls={fetched.name: address},
        retry_if_failed=RETRIES,
    )
    # total=1: pooch takes a bar of length 0 for no bar; it sets the true length itself.
    with tqdm(total=1, unit="B", unit_scale=True, desc=fetched.name, disable=not progress) as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUTS)
        try:
            source.fetch(fetched.name, downloader=downloader)
        except requests.HTTPError as error:
            status = getattr(error.response, "status_code", None)
            kind = NotFoundError if status in (404, 410) else DownloadError
            raise kind(
                f"{address} answered with HTTP status {status}: try again later, or {advice}"
            ) from error
        except requests.RequestException as error:
            cut_off = isinstance(error, requests.exceptions.ChunkedEncodingError)
            what = "was cut off" if cut_off else "cannot be reached"
            raise DownloadError(f"{address} {what}: check the network and try again, or {advice}") from error
        except ValueError as error:
            raise ArchiveError(
                f"{address} sent something other than the published archive "
                f"(its MD5 is not {published_md5}): {advice}"
            ) from error
