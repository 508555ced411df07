"""Fetching the archives from upstream, from a mirror, and not at all."""

import errno
import gc
import http.server
import platform
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch
import pytest

from oneshot.errors import ArchiveError, DownloadError, OneshotError
from oneshot.omniglot.download import fetch_archives, md5
from tests.archives import NAMES, assert_same_files, pick, write_zip
from tests.conftest import refusing

# After an error pooch leaves its connection to the garbage collector, which the server fixture calls.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(scope="module")
def repacked(upstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same drawings in other archives."""
    folder = tmp_path_factory.mktemp("repacked")
    for name in NAMES:
        with zipfile.ZipFile(upstream / name) as archive:
            content = {member: archive.read(member) for member in archive.namelist()}
        write_zip(folder / name, reversed(content.items()))
    shutil.copy(upstream / "all_runs.zip", folder)
    return folder


class Server:
    """Contents of the local web server, by path, and its behaviour."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.contents: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut_off = 0  # how many of the next answers stop half-way
        self.status = 200

    def serve(self, folder: Path, prefix: str = "") -> None:
        self.contents |= {f"/{prefix}{name}": (folder / name).read_bytes() for name in NAMES}


class Handler(http.server.BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        state = self.state
        state.asked.append(self.path)
        content = state.contents.get(self.path)
        self.send_response(state.status if content is not None else 404)
        content = content or b"Not found"
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        state.cut_off -= 1
        self.wfile.write(content[: len(content) // 2] if state.cut_off >= 0 else content)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server(no_proxy: None) -> Iterator[Server]:
    handler = type("Bound", (Handler,), {})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.state = Server(f"http://127.0.0.1:{httpd.server_port}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield handler.state
    httpd.shutdown()
    httpd.server_close()
    thread.join()
    gc.collect(1)  # of young objects alone: with PyTorch loaded, all would take two seconds


@dataclass
class Download:
    """A folder to fetch into, and the facts about the archives; `upstream` may be the server's address."""

    folder: Path
    facts: dict[str, Any]

    def from_upstream_at(self, server: Server) -> None:
        self.facts = self.facts | {"address": server.address}

    def fetch(self, mirror: Path | str | None) -> dict[str, Path]:
        return fetch_archives(self.folder, self.facts, mirror and str(mirror), progress=False)

    def refused(self, error: type[OneshotError], mirror: Path | str | None) -> str:
        """The sentence that fetching ends with; the folder holds what it held before, and nothing else."""
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        with refusing(error) as caught:
            self.fetch(mirror)
        assert {path.name: path.read_bytes() for path in self.folder.iterdir()} == before
        return str(caught.value)


@pytest.fixture
def download(tmp_path: Path, published: dict) -> Download:
    (tmp_path / "raw").mkdir()
    return Download(tmp_path / "raw", published)


def test_a_mirror_folder_is_copied(download, upstream):
    download.folder /= "new"
    assert download.fetch(upstream) == {name: download.folder / name for name in NAMES}
    assert_same_files(download.folder, upstream)


def test_what_a_killed_download_left_is_removed(download, upstream):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = download.folder / f"fetching-x.{platform.node()}.{dead.pid}.partial"
    left.mkdir()
    (left / "images_background.zip").touch()
    download.fetch(upstream)
    assert not left.exists()


def test_repacked_archives_are_known_by_their_drawings(download, repacked, server):
    server.serve(repacked, "mirror/")
    known = download.facts["archives"]["images_background.zip"]["md5"]
    assert md5(repacked / "images_background.zip") != known
    download.fetch(f"{server.address}/mirror/")
    assert_same_files(download.folder, repacked)


@pytest.mark.usefixtures("no_network")
def test_right_files_are_not_decoded(download, upstream, monkeypatch):
    shutil.copytree(upstream, download.folder, dirs_exist_ok=True)
    monkeypatch.setattr("oneshot.omniglot.download.read_archive", lambda *_: pytest.fail("decoded"))
    download.fetch(None)
    assert_same_files(download.folder, upstream)


@pytest.mark.parametrize("name", NAMES)
def test_only_wrong_files_are_fetched(download, upstream, server, name):
    shutil.copytree(upstream, download.folder, dirs_exist_ok=True)
    (download.folder / name).write_bytes((upstream / name).read_bytes()[:-100])
    server.serve(upstream)
    download.fetch(server.address)
    assert server.asked == [f"/{name}"]
    assert_same_files(download.folder, upstream)


def test_the_pinned_revision_is_first(download, upstream, server, capfd):
    server.serve(upstream, "pinned/python/")
    download.from_upstream_at(server)
    download.fetch(None)
    assert_same_files(download.folder, upstream)
    assert all(path.startswith("/pinned/") for path in server.asked)
    assert capfd.readouterr() == ("", "")
    assert (download.folder / NAMES[0]).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("pinned", ["not found", "other file"])
def test_the_branch_is_asked_second(download, upstream, server, pinned):
    if pinned == "other file":
        server.contents = {f"/pinned/python/{name}": b"something else" for name in NAMES}
    server.serve(upstream, "master/python/")
    download.from_upstream_at(server)
    download.fetch(None)
    assert_same_files(download.folder, upstream)


def test_upstream_is_known_by_its_md5(download, repacked, upstream, server):
    shutil.copy(upstream / "all_runs.zip", download.folder)
    server.serve(repacked, "pinned/python/")
    server.serve(repacked, "master/python/")
    download.from_upstream_at(server)
    sentence = download.refused(ArchiveError, None)
    assert "/master/python/images_background.zip sent something other than the published" in sentence
    assert "set OMNIGLOT_MIRROR" in sentence


def test_a_transfer_that_was_cut_off_is_tried_again_and_poochs_own_log_is_silent(
    download, upstream, server, monkeypatch
):
    logger, records = pooch.get_logger(), []
    monkeypatch.setattr(logger, "handle", records.append)
    logger.setLevel("INFO")
    server.serve(upstream)
    server.cut_off = 2
    download.fetch(server.address)
    assert_same_files(download.folder, upstream)
    assert records == []


@pytest.mark.parametrize("from_upstream", [False, True])
def test_a_cut_off_transfer_is_refused(download, upstream, server, from_upstream):
    (download.folder / "all_runs.zip").write_bytes(b"wrong, and kept")
    server.serve(upstream, "pinned/python/" if from_upstream else "")
    server.cut_off = 99
    download.from_upstream_at(server)
    sentence = download.refused(DownloadError, None if from_upstream else server.address)
    assert "images_background.zip was cut off: check the network" in sentence


@pytest.mark.parametrize(("status", "contents"), [(404, False), (503, True)])
def test_an_http_error_is_refused(download, upstream, server, status, contents):
    if contents:
        server.serve(upstream)
    server.status = status
    sentence = download.refused(DownloadError, server.address)
    assert f"{server.address}/images_background.zip answered with HTTP status {status}" in sentence
    assert "set OMNIGLOT_MIRROR" in sentence


@pytest.mark.usefixtures("server")
def test_no_network_is_one_sentence(download):
    sentence = download.refused(DownloadError, None)
    assert "http://127.0.0.1:9/omniglot/pinned/python/images_background.zip cannot be reached" in sentence
    assert "set OMNIGLOT_MIRROR to a folder" in sentence


def test_a_mirror_without_archives_is_refused(download, upstream, tmp_path):
    assert "'/nowhere/at/all' is no folder" in download.refused(DownloadError, "/nowhere/at/all")
    assert "is no folder" in download.refused(DownloadError, upstream / "all_runs.zip")
    mirror = shutil.copytree(upstream, tmp_path / "mirror")
    (mirror / "images_background.zip").unlink()
    sentence = download.refused(DownloadError, mirror)
    assert f"{str(mirror)!r} has no images_background.zip" in sentence


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("how", ["cut off", "web page", "other content"])
def test_a_wrong_mirror_is_refused(download, upstream, tmp_path, name, how):
    mirror = shutil.copytree(upstream, tmp_path / "mirror")
    shutil.copytree(upstream, download.folder, dirs_exist_ok=True)
    (download.folder / name).write_bytes(b"wrong, and kept")
    if how == "cut off":
        (mirror / name).write_bytes((upstream / name).read_bytes()[:-100])
    elif how == "web page":
        (mirror / name).write_text("<html>Please log in</html>")
    else:
        with zipfile.ZipFile(upstream / name) as archive:
            contents = {member: archive.read(member) for member in archive.namelist()}
        first, last = min(contents), max(contents)
        write_zip(mirror / name, (contents | {first: contents[last] + b" "}).items())
    sentence = download.refused(ArchiveError, mirror)
    assert f"{mirror / name} is not the published file (its MD5 is {md5(mirror / name)})" in sentence


@pytest.mark.parametrize("by", ["shutil.copyfile", "pooch.HTTPDownloader.__call__"])
def test_a_full_disk_is_one_sentence(download, upstream, server, monkeypatch, by):
    def fill(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server.serve(upstream)
    monkeypatch.setattr(by, fill)
    mirror = server.address if "pooch" in by else upstream
    assert f"no room left on the disk of {download.folder}" in download.refused(DownloadError, mirror)


@pytest.mark.omniglot
def test_the_mirrors_archives_are_taken_for_the_published_ones(
    facts, mirror, drawings, tmp_path, monkeypatch
):
    """Decoding them takes seconds, and the fixture has done it."""
    train = drawings.character_sets == "train"
    archives = {"images_background": pick(drawings, train), "images_evaluation": pick(drawings, ~train)}
    monkeypatch.setattr("oneshot.omniglot.download.read_archive", lambda path, folder: archives[folder])
    fetch_archives(tmp_path, facts, str(mirror), progress=False)
    assert_same_files(tmp_path, mirror)
