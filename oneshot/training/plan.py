"""Plans of training, in one form for all tasks, and what is said of a network that was trained by one."""

from dataclasses import dataclass
from typing import Any

from oneshot.training.progress import Trained
from oneshot.training.tensors import NetworkInfo


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides what is trained.

    `name` is the network's section of params.yaml, `net` its name in the registry, `recipe` its recipe's;
    `settings` hold every number in force, as JSON can.
    """

    task: str
    name: str
    net: str
    recipe: str
    settings: dict[str, Any]
    seed: int
    scale: str
    log_every: int
    checkpoint_seconds: float

    @property
    def n_planned(self) -> int:
        """Scenes, pairs or episodes in all."""
        raise NotImplementedError

    @property
    def identity(self) -> dict[str, Any]:
        """Facts that two commands must share for one to go on with the other's training."""
        return {
            "task": self.task, "name": self.name, "net": self.net, "recipe": self.recipe,
            "settings": self.settings, "seed": self.seed,
        }  # fmt: skip

    def describe_weights(
        self,
        n_seen: int,
        settings: dict[str, Any],
        statistics: dict[str, float] | None = None,
        n_seen_before: int = 0,
    ) -> NetworkInfo:
        """Describe the network for a file of its weights; `settings` are its constructor's arguments.

        `n_seen_before` were seen by the weights that this training began from, and are not among `n_seen`.
        """
        training = {
            "name": self.name, "recipe": self.recipe, "seed": self.seed, "n_seen": n_seen,
            "n_seen_before": n_seen_before,
        }  # fmt: skip
        return NetworkInfo(self.task, self.net, settings, training, statistics)


def describe_trained(plan: TrainingPlan, trained: Trained) -> dict[str, Any]:
    """Give what is known of a trained network, deterministic facts only, as JSON can hold it."""
    kept = ("name", "settings", "n_seen", "n_steps", "n_steps_planned", "stopped_early", "best_step")
    return plan.identity | {
        "scale": plan.scale,
        "n_parameters": sum(parameter.numel() for parameter in trained.net.parameters()),
        "n_seen": trained.info.training["n_seen"],
        "n_seen_before": trained.info.training["n_seen_before"],
        "trainings": [{name: getattr(report, name) for name in kept} for report in trained.trainings],
    }
