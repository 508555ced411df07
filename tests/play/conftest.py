"""A game on synthetic alphabets, and its server in a thread."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from oneshot.classify.episodes import Episodes, within_alphabets
from oneshot.classify.scoring import Outside
from oneshot.omniglot.classes import omniglot_classes
from oneshot.omniglot.drawings import Drawings
from oneshot.omniglot.synthetic import draw_alphabets
from oneshot.play import game as of_game
from oneshot.play.game import Game

LOOPBACK = "127.0.0.1"
N_ASKED = 6  # questions to a player, instead of 20


@pytest.fixture(scope="session")
def alphabets() -> Drawings:
    """Two test alphabets of twenty characters."""
    return draw_alphabets(np.random.default_rng(3), {"train": 1, "eval": 1, "test": 2}, 20)


@pytest.fixture(scope="session")
def episodes(alphabets: Drawings) -> Episodes:
    drawn = alphabets.of("test")
    classes = omniglot_classes(drawn, np.ones(len(drawn), np.bool_), (10, 20))
    names = [*dict.fromkeys(classes.alphabets)]
    return within_alphabets(classes, names, 2, np.random.default_rng(4), protocol="synthetic")


@pytest.fixture(scope="session")
def game(alphabets: Drawings, episodes: Episodes) -> Iterator[Game]:
    """A game with the shipped networks: Koch's, of 39 MB, would take the most of the time."""
    images = alphabets.of("test").unpack().reshape(-1, 105, 105)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_game, "CLASSIFIERS", {"contrastive network": ("contrastive-long",)})
        patch.setattr(of_game, "FINDERS", of_game.FINDERS | {"Siamese-U-Net": ("siamese_unet-joint-fast",)})
        patch.setattr(of_game, "N_QUESTIONS", N_ASKED)
        yield Game(alphabets, Outside(images, episodes), np.random.default_rng(5))


@contextmanager
def serving(game: Game) -> Iterator[int]:
    """Serve in a thread, and give the port."""
    pytest.importorskip("starlette", reason="starlette, of the extra play, is not installed")
    pytest.importorskip("uvicorn", reason="uvicorn, of the extra play, is not installed")
    from oneshot.play.server import make_server

    with socket.create_server((LOOPBACK, 0), backlog=512) as listener:
        server = make_server(game)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(
    scope="module"
)  # not longer: other tests set the clock, by which the server looks for its end
def port(game: Game) -> Iterator[int]:
    with serving(game) as found:
        yield found
