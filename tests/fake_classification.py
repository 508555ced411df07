"""Results of classification in a small checkout, as its stages and its recorded runs give them."""

from collections.abc import Mapping
from typing import Any

REASON = "MNIST could not be fetched: no network."
TRIALS = {"within-alphabet": 400, "within-alphabet-10000": 10_000, "all_runs": 400, "mnist": 400}
MIXED = {f"mixed-{n_way}-way-{n_shot}-shot": 1000 * n_way for n_way in (5, 20) for n_shot in (1, 5)}
PROTOCOLS = {
    "within-alphabet": {"n_way": 20, "n_shot": 1, "n_episodes": 20, "n_queries": 400, "sha256": "0"},
    "mixed-5-way-1-shot": {"n_way": 5, "n_shot": 1, "n_episodes": 1000, "n_queries": 5000, "sha256": "1"},
    "verification": {"n_pairs": 10_000, "sha256": "2"},
}


def mean(value: float, n: int = 400, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": value - 0.02, "high": value + 0.01, "n": n, **more}


def means(value: float, *protocols: str) -> dict[str, dict[str, Any]]:
    """The same value in every protocol named; none named: in all."""
    counts = TRIALS | MIXED
    return {protocol: mean(value, counts.get(protocol, 400)) for protocol in protocols or counts}


def fake_net(name: str, value: float, base: str | None = "koch_small", **changes: Any) -> dict[str, Any]:
    """What metrics say of a network: verification and, where it knows drawers, theirs are 1 point better."""
    net = {
        "net": "siamese_pair", "base": base, "recipe": "published", "n_parameters": 1234, "n_pairs": 30_000,
        "n_copies": 8 if name.endswith("_affine") else None, "n_seen": 40_000, "n_epochs": 20, "seed": 1803,
        "validation": mean(value, 320), "verification": mean(value + 0.01, 10_000),
        "accuracy": means(value),
    }  # fmt: skip
    if name == "background":
        net["background_verification"] = {split: mean(value, 5000) for split in ("validation", "test")}
    if name in ("own", "protonet"):
        net |= {"recipe": name, "n_pairs": None}
    if name == "protonet":
        net |= {"net": "protonet", "base": None, "verification": None}
    return net | changes


def small_baselines(**changes: Any) -> dict[str, Any]:
    scorers = {
        "cosine": {"accuracy": means(0.2175)},
        "hausdorff": {"accuracy": means(0.6125, "all_runs")},
        "guess": {"accuracy": means(0.05)},
    }
    about = {"scale": "laptop", "source": "omniglot", "protocols": PROTOCOLS, "not_computed": {}}
    return about | {"scorers": scorers} | changes


def small_trained(**changes: Any) -> dict[str, Any]:
    """Koch's network in one of table 1's cells, the three others."""
    names = ("pairs_30000_affine", "own", "background", "protonet")
    scorers = {name: fake_net(name, value) for name, value in zip(names, (0.5, 0.8, 0.6, 0.9), strict=True)}
    about = {"scale": "laptop", "source": "omniglot", "protocols": PROTOCOLS, "not_computed": {}}
    return about | {"scorers": scorers} | changes


def fake_run(name: str, value: float, base: str | None = "koch", **changes: Any) -> dict[str, Any]:
    """A record of a long run; its name may end with its base or its seed."""
    net_name = name.partition("-")[0]
    lost = {"within-alphabet": 0.25, "within-alphabet-10000": -0.05}
    record = fake_net(net_name, value, base) | {
        "name": name, "net_name": net_name, "n_parameters": 38_951_745,
        "n_steps": 900, "n_steps_planned": 900, "n_epochs": 6.25, "n_epochs_asked": 200,
        "stopped_early": False, "budget_minutes": None, "device": "a GPU", "git_revision": "0123456789abcdef",
        "seconds": {"training": 90.0, "evaluation": 30.0, "total": 126.0},
        "weights": {"file": "weights/net.safetensors", "precision": "float16", "lost_points": lost},
    }  # fmt: skip
    if "-seed-" in name:
        record["seed"] = int(name.rpartition("-")[2])
    return record | changes


def small_records() -> list[dict[str, Any]]:
    """Not in order: a further seed, another base, two of table 1's cells."""
    return [
        fake_run("protonet", 0.95, None),
        fake_run("own-seed-1", 0.7),
        fake_run("own", 0.91),
        fake_run("own-koch_small", 0.85, "koch_small"),
        fake_run("pairs_150000_affine", 0.92),
    ]


def agreement(recorded: float, agrees: bool, n: int = 400) -> dict[str, Any]:
    return {
        "agrees": agrees,
        "recorded": recorded,
        "share_of_equal_answers": 0.995 if agrees else 0.75,
        "n": n,
    }


def small_reevaluated(nets: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The first network holds, the second does not in one protocol, the third was compared with nothing."""
    differs = agreement(0.85, False)
    found = {
        "own": {"verification": mean(0.92, 500, agreement=agreement(0.92, True, 500)),
                "accuracy": {"within-alphabet": mean(0.91, agreement=agreement(0.91, True)),
                             "all_runs": mean(0.91, agreement=agreement(0.91, True))}},
        "own-koch_small": {"accuracy": {"within-alphabet": mean(0.5, agreement=differs),
                                        "all_runs": mean(0.85, agreement=agreement(0.85, True))}},
        "protonet": {"accuracy": {"within-alphabet": mean(0.95)}},
    }  # fmt: skip
    return {"scale": "laptop", "source": "omniglot", "nets": found if nets is None else nets}


def cells(table: str, row: str) -> dict[str, str]:
    """One line of a Markdown table, by its columns' titles."""
    titles, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    return next(dict(zip(titles, found, strict=True)) for found in rows if found[0] == row)
