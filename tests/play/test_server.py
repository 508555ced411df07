"""The server, as others may treat it: what it refuses, what it survives, and who may ask."""

import http.client
import json
import random
import socket
import string
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from oneshot.play import game as of_game
from oneshot.play.forms import Search
from oneshot.play.game import Game, find_same, judge_mask
from oneshot.segment.own_scenes import find_target
from tests.play.conftest import N_ASKED

pytestmark = pytest.mark.slow
ADDRESSES = ("describe", "scene", "find", "questions", "question", "answer", "result", "own")
LINE = [[[20, 20], [80, 30.5]], [[50, 50]]]
SCENE = {"clutter_level": 32, "seed": 1}
GOOD: dict[str, Any] = {
    "describe": {},
    "scene": {"clutter_level": 4},
    "find": SCENE | {"strokes": LINE},
    "questions": {},
    "question": {"episode": 0, "query": 3},
    "answer": {"episode": 0, "query": 3},
    "result": {"answers": [{"episode": 0, "query": 3, "choice": 2, "seconds": 1.5}]},
    "own": {"classes": [{"name": name, "strokes": LINE} for name in "ab"], "query": LINE},
}
JSON = {"content-type": "application/json"}


def send(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] = JSON
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def ask(port: int, name: str, message: Any) -> tuple[int, Any]:
    status, _, body = send(port, "POST", f"/api/{name}", json.dumps(message).encode())
    return status, json.loads(body)


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_address_answers(name: str, port: int) -> None:
    status, found = ask(port, name, GOOD[name])
    assert status == 200
    assert found


def test_the_networks_find_the_target_of_a_scene(port: int) -> None:
    _, scene = ask(port, "scene", {"clutter_level": 4})
    message = {name: scene[name] for name in ("clutter_level", "seed")}
    _, found = ask(port, "find", message | {"label": scene["target_label"]})
    best = found["answers"][0]
    assert found["target"] == scene["target"]
    assert best["who"] == "colour matcher"
    assert best["hit"]
    assert best["iou"] > 0.9
    assert {scene["labels"][k] for k in best["pixels"]} == {scene["target_label"]}
    _, other = ask(port, "find", message | {"label": 1})
    assert other["target"] != scene["target"]


def test_a_character_that_a_scene_shows_twice_is_right_at_either_place(game: Game) -> None:
    def shown(seed: int) -> tuple[int, list[int]]:
        scene = game.render(256, seed)
        return seed, find_same(scene, 256)

    seed, labels = next(found for found in map(shown, range(100)) if len(found[1]) > 1)
    scene = game.render(256, seed)
    assert len({int(scene.characters[0, label - 1]) for label in labels}) == 1
    for label in labels:
        _, truths = game.find_truth(scene, Search(clutter_level=256, seed=seed, label=label), label)
        assert [set(scene.labels[0][true]) for true in truths] == [{one} for one in labels]
    one, other = (scene.labels[0] == label for label in labels[:2])
    assert judge_mask(one, truths) == judge_mask(other, truths) == {"iou": 1.0, "hit": True}
    assert not judge_mask(scene.labels[0] == 0, truths)["hit"]


def test_questions_are_answered_and_counted(port: int, game: Game) -> None:
    _, found = ask(port, "questions", {})
    assert len(found["questions"]) == N_ASKED
    answers = []
    for question in found["questions"]:
        _, judged = ask(port, "answer", question)
        assert judged["right"] == game.trials.episodes.answers[question["episode"], question["query"]]
        answers.append(question | {"choice": judged["right"], "seconds": 1})
    answers[0]["choice"] = (answers[0]["choice"] + 1) % 20
    _, result = ask(port, "result", {"answers": answers})
    assert result["file"]["n_right"] == N_ASKED - 1
    assert result["figures"]["you"]["value"] == pytest.approx(1 - 1 / N_ASKED)
    assert set(result["figures"]) == {"you", "contrastive network"}


def test_own_characters_are_told_apart(port: int) -> None:
    classes = [
        {"name": "flat", "strokes": [[[20, 50], [85, 50]]]},
        {"name": "corner", "strokes": [[[25, 20], [25, 85], [80, 85]]]},
    ]
    _, found = ask(port, "own", {"classes": classes, "query": [[[30, 25], [32, 80], [85, 78]]]})
    assert found["rankings"][0]["classes"] == ["corner", "flat"]


WRONG: dict[str, tuple[str, Any, str]] = {
    "no level": ("scene", {"clutter_level": 5}, "clutter_level is 5"),
    "a truth value": ("question", {"episode": True, "query": 0}, "a number is needed"),
    "both": ("find", SCENE | {"label": 1, "strokes": LINE}, "give either label or strokes"),
    "neither": ("find", SCENE, "give either label or strokes"),
    "no such label": ("find", SCENE | {"label": 900}, "label is 900"),
    "background": ("find", SCENE | {"label": 0}, "label is 0"),
    "off the sheet": ("find", SCENE | {"strokes": [[[0, 106]]]}, "is 106"),
    "no line": ("find", SCENE | {"strokes": []}, "strokes is []"),
    "a path": ("find", {"scene": "/etc/passwd"}, "scene is not a known parameter"),
    "no such trial": ("answer", {"episode": 99, "query": 0}, "there is no query 0 in episode 99"),
    "no such choice": (
        "result", {"answers": [{"episode": 0, "query": 0, "choice": 20, "seconds": 1}]}, "no choice 20"
    ),
    "twice": ("result", {"answers": 2 * GOOD["result"]["answers"]}, "answered twice"),
    "same names": ("own", GOOD["own"] | {"classes": 2 * GOOD["own"]["classes"][:1]}, "the same name"),
    "a list": ("describe", [], "the file is"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_message_gets_one_sentence(case: str, port: int) -> None:
    name, message, sentence = WRONG[case]
    status, found = ask(port, name, message)
    assert 400 <= status < 500
    assert set(found) == {"error"}
    assert sentence in found["error"]
    assert "\n" not in found["error"]


def test_only_this_machine_may_ask_and_the_page_loads_nothing_from_elsewhere(port: int) -> None:
    status, headers, page = send(port, "GET", "/", headers={})
    assert status == 200
    assert b"<!doctype html>" in page
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert {word for word in policy.replace(";", "").split() if word[0] == "'"} == {"'none'", "'self'"}
    assert send(port, "GET", "/", headers={"host": "evil.example"})[0] == 400
    assert send(port, "POST", "/api/describe", b"{}", {"content-type": "text/plain"})[0] == 415
    assert send(port, "POST", "/api/describe", b" " * (2**18 + 1))[0] == 413
    assert send(port, "GET", "/api/describe")[0] == 404
    assert send(port, "DELETE", "/api/find")[0] == 405
    assert send(port, "GET", "/../server.py")[0] == 404
    with pytest.raises(OSError), socket.create_connection((find_own_address(), port), 2):
        pass


def find_own_address() -> str:
    """Find another address of this machine than that of loopback."""
    addresses = [one.address for some in psutil.net_if_addrs().values() for one in some if one.family == 2]
    return next((one for one in addresses if not one.startswith("127.")), "127.0.0.2")


def spoil(chance: random.Random, name: str) -> bytes:
    """Make a message that is wrong, of one kind of many, from a right one."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(300))
    if kind == 1:
        depth = chance.choice((50, 5_000, 60_000))
        return b"[" * depth + b"]" * chance.choice((0, depth))
    if kind == 2:
        return json.dumps(GOOD["own"]).encode()[: chance.randrange(1, 100)]
    odd = (
        float("nan"), float("inf"), -1, 10**400, 1e308, -0.5, True, None, "", "\ud800", "x" * 1000, [], {},
        [[[1, 2, 3]]], [[["a", None]]], [[0]] * 3000,
    )  # fmt: skip
    message = json.loads(json.dumps(GOOD[name]))
    if kind == 3 or not message:
        message["".join(chance.choices(string.printable, k=9))] = chance.choice(odd)
    elif kind == 4:
        del message[chance.choice([*message])]
    else:
        message[chance.choice([*message])] = chance.choice(odd)
    return json.dumps(message).encode()


def test_a_thousand_malformed_requests_are_each_refused(port: int) -> None:
    chance = random.Random(17)

    def attack(number: int) -> int:
        name = chance.choice(ADDRESSES)
        if number % 10 == 0:
            method = chance.choice(("PUT", "GET", "DELETE", "PATCH", "OPTIONS"))
            status, _, body = send(port, method, f"/api/{name}", spoil(chance, name))
        elif number % 10 == 1:
            path = "/" + "".join(chance.choices(string.ascii_letters + "./%", k=20))
            status, _, body = send(port, "POST", path, spoil(chance, name))
        else:
            status, _, body = send(port, "POST", f"/api/{name}", spoil(chance, name))
        found = json.loads(body)
        # A message may have come out right: the odd number a possible one.
        assert status == 200 or (400 <= status < 500 and set(found) == {"error"}), (status, body)
        assert "\n" not in found.get("error", "")
        return status

    statuses = [attack(number) for number in range(1000)]
    assert statuses.count(200) < 50
    for _ in range(20):  # no HTTP at all
        with socket.create_connection(("127.0.0.1", port), 10) as raw:
            raw.sendall(chance.randbytes(200) + b"\r\n\r\n")
    assert ask(port, "describe", {})[0] == 200


def test_a_hundred_at_a_time_wait_for_each_other_in_little_memory(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: list[int] = []
    most = []

    def watch(*arguments: Any) -> Any:
        at_work.append(1)
        most.append(len(at_work))
        try:
            return find_target(*arguments)
        finally:
            at_work.pop()

    monkeypatch.setattr(of_game, "find_target", watch)
    process = psutil.Process()
    ask(port, "find", GOOD["find"])
    before = process.memory_info().rss
    with ThreadPoolExecutor(100) as threads:
        found = [*threads.map(lambda k: ask(port, "find", GOOD["find"] | {"seed": k}), range(100))]
    assert [status for status, _ in found] == 100 * [200]
    assert max(most) == 1
    assert process.memory_info().rss - before < 200 * 2**20
    assert ask(port, "describe", {})[0] == 200
