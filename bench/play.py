"""Time from a drawing to the colour matcher's answer in the page, on one core: `python -m bench.play`.

Through the real server on this machine, as the page asks. Kernels and network are warm.
"""

import http.client
import json
import os
import socket
import statistics
import threading
import time

import numpy as np
import torch

from oneshot.library import fetch_drawings
from oneshot.play.forms import Lines
from oneshot.play.game import Game, find_trials
from oneshot.play.server import LOOPBACK, make_server

LEVELS = (4, 32, 256)
N = 30  # scenes
DRAWN: Lines = [[(25.0, 20.0), (30.0, 80.0), (75.0, 85.0)], [(30.0, 50.0), (70.0, 45.0)]]


def main() -> None:
    torch.set_num_threads(1)
    drawings = fetch_drawings()
    game = Game(drawings, find_trials(drawings)[0], np.random.default_rng(0))
    game.warm_up()
    finders = [{name: game.finders[name]} for name in game.finders]
    with socket.create_server((LOOPBACK, 0)) as listener:
        server = make_server(game)
        threading.Thread(target=server.run, args=([listener],), daemon=True).start()
        connection = http.client.HTTPConnection(LOOPBACK, listener.getsockname()[1])
        print(f"one thread of {os.cpu_count()} cores; load of the last minute: {os.getloadavg()[0]:.1f}")
        for game.finders in [*finders, dict(pair for some in finders for pair in some.items())]:
            for level in LEVELS:
                times = sorted(measure(connection, level, seed) for seed in range(N))
                print(
                    f"{' and '.join(game.finders)}, {level} characters: median "
                    f"{statistics.median(times):.0f} ms, {times[0]:.0f} to {times[-1]:.0f} ms, {N} scenes"
                )
        server.should_exit = True


def measure(connection: http.client.HTTPConnection, level: int, seed: int) -> float:
    """Ask once, and give milliseconds until the answer is read."""
    body = json.dumps({"clutter_level": level, "seed": seed, "strokes": DRAWN})
    started = time.perf_counter()
    connection.request("POST", "/api/find", body, {"content-type": "application/json"})
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    assert json.loads(reply.read())["answers"]
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
