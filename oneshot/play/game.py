"""What the page can ask for: scenes, what networks find in them, trials of a benchmark, own characters."""

import base64
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.benchmarks import draw_benchmark
from oneshot.classify.own_drawings import rank_queries
from oneshot.classify.scoring import Outside
from oneshot.clutter.scenes import Scenes, lay_out, render_job, render_targets, split_recipe
from oneshot.errors import ParameterError
from oneshot.intervals import mean_of_hits
from oneshot.library import (
    DEFAULT_CLASSIFIER,
    DEFAULT_MATCHER,
    PIPELINE_DRAWINGS,
    cache_folder,
    load_classifier,
    load_network,
)
from oneshot.omniglot.drawings import SIDE, Drawings, unpack_rows
from oneshot.play.forms import Lines, NewScene, Nothing, OwnTrial, Search
from oneshot.published import CLUTTER_LEVELS, find_split, read_facts
from oneshot.records.played import Choices, PlayedTrials, Trial, count_right
from oneshot.segment.metrics import iou, localised
from oneshot.segment.own_scenes import find_target
from oneshot.training.tensors import WeightsError

Loaded = TypeVar("Loaded")
Reply = dict[str, Any]  # as JSON

SPLIT = "test-one-shot"
ALL_RUNS = "all_runs.zip"
N_QUESTIONS = 20
PEN = 5  # pixels of 105, as wide as Omniglot's
# Networks by what the page calls them, each with its runs, the best first: not all are shipped in a package.
FINDERS = {
    "colour matcher": (DEFAULT_MATCHER,),
    "Siamese-U-Net": ("siamese_unet-joint-fast-24", "siamese_unet-joint-fast"),
}
CLASSIFIERS = {
    "contrastive network": (DEFAULT_CLASSIFIER,),
    "Koch's network": ("contrastive_koch-gpu", "contrastive_koch"),
}


class Game:
    """Drawings, trials and networks in memory. What is asked for depends on the message alone.

    Methods take a checked message and give what is sent as JSON. They are called one at a time.
    """

    def __init__(
        self, drawings: Drawings, trials: Outside, generator: np.random.Generator, sha256: str | None = None
    ) -> None:
        """Load the released networks that are here.

        generator: draws seeds and trials. sha256: of the list of trials; None: of `trials`, with all images.
        """
        self.split = find_split(SPLIT)
        self.pens = lay_out(drawings, self.split.characters)
        self.trials = trials
        self.sha256 = sha256 or trials.episodes.sha256()
        self.generator = generator
        self.finders = load_those_here(FINDERS, lambda name: load_network(name)[0])
        self.classifiers = load_those_here(CLASSIFIERS, lambda name: load_classifier(name)[0])
        self.judge_once = cache(self.judge)

    def warm_up(self) -> None:
        """Reply once to every kind of message, so that kernels are compiled and memory is laid out."""
        self.find(Search(clutter_level=4, seed=0, label=4))
        self.find(Search(clutter_level=256, seed=0, label=256))
        line: Lines = [[(30.0, 30.0), (70.0, 80.0)]]
        self.find(Search(clutter_level=32, seed=0, strokes=line))
        self.judge_once(0, 0)

    def describe(self, message: Nothing) -> Reply:
        """Describe what there is to choose from; people's accuracy is known of Lake's trials alone."""
        people = read_facts("koch")["one_shot_percent"]["humans"]
        return {
            "clutter_levels": CLUTTER_LEVELS,
            "side": SIDE,
            "pen": PEN,
            "finders": list(self.finders),
            "classifiers": list(self.classifiers),
            "protocol": self.trials.episodes.protocol,
            "n_way": self.trials.episodes.n_way,
            "n_questions": N_QUESTIONS,
            "people_percent": people if self.trials.episodes.protocol == "all_runs" else None,
        }

    def render(self, clutter_level: int, seed: int) -> Scenes:
        return render_job(self.pens, split_recipe(self.split, clutter_level), seed, 1)

    def new_scene(self, message: NewScene) -> Reply:
        """Render a scene of a new seed: its label map, colours, target, and a pixel of every character."""
        seed = int(self.generator.integers(2**32))
        scene = self.render(message.clutter_level, seed)
        labels = scene.labels[0]
        return {
            "clutter_level": message.clutter_level,
            "seed": seed,
            "height": labels.shape[0],
            "width": labels.shape[1],
            "labels": labels.ravel().tolist(),
            "palette": scene.palette[0].tolist(),
            "places": find_places(labels),
            "target_label": message.clutter_level,
            "right_labels": find_same(scene, message.clutter_level),
            "target": describe_target(scene.targets()[0]),
        }

    def find(self, message: Search) -> Reply:
        """Let every network find a target in a scene; with a label the answers are also judged."""
        scene = self.render(message.clutter_level, message.seed)
        if message.strokes is not None:
            target = np.repeat(255 * draw_ink(message.strokes)[..., None], 3, 2)
            truths = None
        else:
            assert message.label is not None
            target, truths = self.find_truth(scene, message, message.label)
        answers = []
        for title, (name, net) in self.finders.items():
            started = time.perf_counter()
            found = find_target(net, name, scene.images()[0], target)
            milliseconds = 1000 * (time.perf_counter() - started)
            judged = {} if truths is None else judge_mask(found.mask, truths)
            pixels = np.flatnonzero(found.mask).tolist()
            answers.append(
                {"who": title, "network": name, "pixels": pixels, "box": found.box, "score": found.score}
                | {"milliseconds": milliseconds}
                | judged
            )
        return {"target": describe_target(target), "answers": answers}

    def find_truth(
        self, scene: Scenes, message: Search, label: int
    ) -> tuple[UInt8[np.ndarray, "32 32 3"], Bool[np.ndarray, "k h w"]]:
        """Give the target image of a label, and a mask for each time that the scene shows its character.

        The scene's own target has its own image; of others a new one is drawn, by any drawer.
        """
        labels = scene.labels[0]
        if label == 0 or not (labels == label).any():
            raise ParameterError(f"label is {label}, of which this scene shows no pixel.")
        masks = labels == np.array(find_same(scene, label))[:, None, None]
        if label == message.clutter_level:
            return scene.targets()[0], masks
        recipe = split_recipe(self.split, message.clutter_level)
        drawn = render_targets(self.pens, recipe, scene.characters[:1, label - 1 : label], message.seed)
        return np.multiply(drawn.inks[0, 0, ..., None], drawn.tints[0, 0]), masks

    def choose_questions(self, message: Nothing) -> Reply:
        """Choose trials for a player: one of each episode while there are some, in any order."""
        n_episodes, n_queries = self.trials.episodes.queries.shape
        n = min(N_QUESTIONS, n_episodes * n_queries)
        order = np.concatenate([self.generator.permutation(n_episodes) for _ in range(-(-n // n_episodes))])
        queries = np.stack([self.generator.permutation(n_queries) for _ in range(n_episodes)])
        chosen = [
            {"episode": int(episode), "query": int(queries[episode, k // n_episodes])}
            for k, episode in enumerate(order[:n])
        ]
        return {"protocol": self.trials.episodes.protocol, "sha256": self.sha256, "questions": chosen}

    def show_question(self, message: Trial) -> Reply:
        """Show a trial's drawing and its candidates, packed."""
        episode, query = self.take_trial(message)
        numbers = self.trials.episodes.support[episode], self.trials.episodes.queries[episode, query, None]
        shown, asked = ([encode_bits(self.trials.images[k]) for k in some] for some in numbers)
        return {"asked": asked[0], "shown": shown}

    def answer_question(self, message: Trial) -> Reply:
        """Give the right class of a trial, and those that the classifiers choose."""
        episode, query = self.take_trial(message)
        choices = self.judge_once(episode, query)
        return {"right": int(self.trials.episodes.answers[episode, query]), "classifiers": choices}

    def take_trial(self, message: Trial) -> tuple[int, int]:
        n_episodes, n_queries = self.trials.episodes.queries.shape
        if message.episode >= n_episodes or message.query >= n_queries:
            raise ParameterError(
                f"there is no query {message.query} in episode {message.episode}: there are {n_queries} "
                f"queries in each of {n_episodes} episodes."
            )
        return message.episode, message.query

    def judge(self, episode: int, query: int) -> dict[str, int]:
        """Let every classifier choose a class for a query."""
        episodes = self.trials.episodes
        supports = {str(k): [self.trials.images[n]] for k, n in enumerate(episodes.support[episode])}
        asked = [("query", self.trials.images[episodes.queries[episode, query]])]
        return {
            title: int(rank_queries(scorer, name, asked, supports, None)[0].classes[0])
            for title, (name, scorer) in self.classifiers.items()
        }

    def sum_up(self, message: Choices) -> Reply:
        """Count a player's right answers beside the classifiers' to the same trials, and give the file."""
        episodes = self.trials.episodes
        n_right = count_right(message.answers, episodes)
        right = np.array([episodes.answers[one.episode, one.query] for one in message.answers])
        chosen = {"you": [one.choice for one in message.answers]}
        for title in self.classifiers:
            chosen[title] = [self.judge_once(one.episode, one.query)[title] for one in message.answers]
        played = PlayedTrials(
            protocol=episodes.protocol, sha256=self.sha256, n_right=n_right, answers=message.answers
        )
        figures = {who: asdict(mean_of_hits(np.array(of_who) == right)) for who, of_who in chosen.items()}
        return {"figures": figures, "file": played.model_dump()}

    def rank_own(self, message: OwnTrial) -> Reply:
        """Let every classifier rank own classes for a drawing."""
        support = {one.name: [draw_ink(one.strokes)] for one in message.classes}
        query = [("query", draw_ink(message.query))]
        rankings = [
            {"who": title} | asdict(rank_queries(scorer, name, query, support, None)[0])
            for title, (name, scorer) in self.classifiers.items()
        ]
        return {"rankings": rankings}


def load_those_here(
    wanted: Mapping[str, tuple[str, ...]], load: Callable[[str], Loaded]
) -> dict[str, tuple[str, Loaded]]:
    """Load of each title the first run that is here, with its name; one without any is named on stderr."""
    found = {}
    for title, names in wanted.items():
        problem: WeightsError | None = None
        for name in names:
            try:
                found[title] = name, load(name)
                break
            except WeightsError as error:
                problem = problem or error
        else:
            print(f"note: {title} does not play: {problem}", file=sys.stderr)
    return found


def find_trials(drawings: Drawings) -> tuple[Outside, str]:
    """Find Lake's own trials if all_runs.zip is here, else draw the benchmark within an alphabet.

    Also gives the SHA-256 of the whole list.
    """
    for folder in (PIPELINE_DRAWINGS.parents[1] / "raw", cache_folder()):
        path: Path = folder / ALL_RUNS
        if drawings.source == "omniglot" and path.is_file():
            runs = Outside(*read_all_runs(path))
            return runs, runs.episodes.sha256()
    (episodes,) = draw_benchmark("within-alphabet", drawings)
    numbers = episodes.needed()
    images = unpack_rows(drawings.numbered()[numbers])
    return Outside(images, episodes.renumbered(numbers)), episodes.sha256()


def draw_ink(strokes: Lines) -> UInt8[np.ndarray, "105 105"]:
    """Draw the lines of a round pen; ink 1, paper 0."""
    sheet = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(sheet)
    reach = PEN / 2
    for stroke in strokes:
        pen.line(stroke, 1, PEN, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), 1)
    return np.asarray(sheet)


def find_places(labels: np.ndarray) -> list[dict[str, int]]:
    """Find, of every label that is seen, the pixel that is nearest to the middle of its pixels."""
    places = []
    for label in np.unique(labels[labels > 0]):
        pixels = np.argwhere(labels == label)
        y, x = pixels[((pixels - pixels.mean(0)) ** 2).sum(1).argmin()].tolist()
        places.append({"label": int(label), "x": x, "y": y})
    return places


def describe_target(target: UInt8[np.ndarray, "h w 3"]) -> Reply:
    """Give a target's ink, packed row by row, and its colour."""
    ink: Bool[np.ndarray, "h w"] = np.asarray(target.any(2))
    return {"side": len(ink), "bits": encode_bits(ink), "tint": target[ink][0].tolist()}


def encode_bits(ink: UInt8[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]) -> str:
    """Pack ink row by row, eight pixels to a byte, the first in the lowest bit."""
    return base64.b64encode(np.packbits(ink, axis=1, bitorder="little").tobytes()).decode()


def find_same(scene: Scenes, label: int) -> list[int]:
    """List the labels of a scene's characters that are the one of a label, as far as they are seen."""
    same = 1 + np.flatnonzero(scene.characters[0] == scene.characters[0, label - 1])
    return np.intersect1d(same, scene.labels[0]).tolist()


def judge_mask(mask: Bool[np.ndarray, "h w"], truths: Bool[np.ndarray, "k h w"]) -> Reply:
    """Give the best IoU of a mask over places that are all right, and whether it lies at one of them."""
    true = torch.from_numpy(truths)
    predicted = torch.from_numpy(mask).expand_as(true)
    return {"iou": float(iou(predicted, true).max()), "hit": bool(localised(predicted, true).any())}
