"""params.yaml, read and checked."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from oneshot.errors import ParameterError
from oneshot.params import check_params, load_params
from tests.conftest import ROOT

PARAMS = ROOT / "params.yaml"


def change(place: str, value: Any) -> Any:
    """The values of params.yaml with one replaced, or added."""
    values = yaml.safe_load(PARAMS.read_text())
    *path, key = place.split(".")
    section = values
    for part in path:
        section = section[part]
    section[key] = value
    return values


def assert_refused(values: Any, *messages: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_params(values)
    assert str(caught.value).startswith("params.yaml: ")
    assert "\n" not in str(caught.value)
    for message in messages:
        assert message in str(caught.value)


def test_the_projects_own_parameters_load() -> None:
    params = load_params(PARAMS)
    assert set(params.scales) == {"smoke", "laptop", "paper"}
    assert params.scale == params.scales[params.scale_name]
    assert params.scales["smoke"].source == "synthetic"
    assert {params.scales[name].source for name in ("laptop", "paper")} == {"omniglot"}
    # What was published of the training: 40 million scenes in 20 epochs, at a learning rate of 5e-4.
    assert params.siamese_unet.recipes["published"].lr == 0.0005
    assert params.scales["paper"].siamese_unet.nets["level_32"][0].n_scenes == 20 * 2_000_000


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_every_scale_can_be_chosen(scale: str) -> None:
    assert check_params(change("scale", scale)).scale == load_params(PARAMS).scales[scale]


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_every_scale_has_the_nets_of_the_pipelines_matrix(scale: str) -> None:
    matrix = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train_siamese_unet"]["matrix"]["net"]
    assert list(load_params(PARAMS).scales[scale].siamese_unet.nets) == matrix


def test_the_learning_rate_may_be_left_to_the_recipe() -> None:
    assert check_params(change("lr", None)).lr is None
    assert check_params(change("lr", 0.001)).lr == 0.001


def test_a_number_that_yaml_takes_for_text_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(re.sub("^lr: .*", "lr: 1e-05", PARAMS.read_text(), flags=re.MULTILINE))
    assert yaml.safe_load(path.read_text())["lr"] == "1e-05"
    assert load_params(path).lr == 1e-05


def test_parameters_cannot_be_changed_once_read() -> None:
    params = load_params(PARAMS)
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 3


@pytest.mark.parametrize(
    "place",
    [
        "foo",
        "siamese_unet.foo",
        "siamese_unet.recipes.fast.foo",
        "scales.smoke.render.foo",
        "scales.paper.foo",
    ],
)
def test_an_unknown_parameter_is_named_with_its_place(place: str) -> None:
    assert_refused(change(place, 1), f"{place} is not a known parameter")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("seed", "many"),
        ("seed", 1.5),
        ("seed", -1),
        ("seed", 2**32),
        ("lr", "fast"),
        ("lr", 0),
        ("lr", -0.1),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("render.n_workers", None),
        ("omniglot.mirror", 3),
        ("siamese_unet.log_every", 0),
        ("siamese_unet.recipes.fast.batch_size", 0),
        ("siamese_unet.recipes.fast.matching_weight", -1),
        ("scales.laptop.source", "mnist"),
        ("scales.laptop.render.n_jobs", 6),
        ("scales.laptop.render.job_scenes", 2001),
        ("scales.laptop.siamese_unet.recipe", "slow"),
        ("scales.laptop.siamese_unet.n_jobs", 1001),
        ("scales.laptop.siamese_unet.n_epochs", 0),
        ("scales.laptop.evaluate.n_scenes", 1),
        ("scales.smoke.synthetic.n_characters", 1),
        ("scales.smoke.siamese_unet.nets.joint", "all"),
    ],
)
def test_a_bad_value_is_quoted_with_its_place(place: str, value: Any) -> None:
    assert_refused(change(place, value), f"{place} is {value!r}, but ")


def test_an_unknown_clutter_level_of_a_phase_is_quoted() -> None:
    phases = [{"clutter_levels": [4, 5], "n_scenes": 10}]
    assert_refused(
        change("scales.smoke.siamese_unet.nets.joint", phases), "joint.0.clutter_levels.1 is 5, but "
    )
    phases = [{"clutter_levels": [], "n_scenes": 10}]
    assert_refused(change("scales.smoke.siamese_unet.nets.joint", phases), "joint.0.clutter_levels is")


def test_a_missing_parameter_is_named() -> None:
    values = yaml.safe_load(PARAMS.read_text())
    del values["scales"]["smoke"]["evaluate"]["batch_size"]
    assert_refused(values, "scales.smoke.evaluate.batch_size is missing")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    values = change("seed", -1)
    values["foo"] = 1
    assert_refused(values, "seed is -1", "; foo is not a known parameter")


def test_an_unknown_scale_is_named_beside_the_known_ones() -> None:
    assert_refused(change("scale", "huge"), "scale is 'huge', which is none of smoke, laptop, paper")


def test_synthetic_alphabets_need_their_sizes() -> None:
    values = change("scale", "smoke")
    values["scales"]["smoke"]["synthetic"] = None
    assert_refused(values, "scales.smoke.synthetic is empty, but its source is synthetic")


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, r"there is no .*params\.yaml .*top level"),
    "broken": (
        lambda path: path.write_text("scale: [smoke\nseed: 1\n"),
        r"params\.yaml is not readable as YAML: ",
    ),
    "no text": (
        lambda path: path.write_bytes(b"\xff\xfe\x00\x80"),
        r"params\.yaml is not readable as YAML: ",
    ),
    "empty": (lambda path: path.write_text(""), r"params\.yaml: the file is None, but "),
    "a list": (lambda path: path.write_text("- 1\n"), r"params\.yaml: the file is \[1\], but "),
    "a tag": (
        lambda path: path.write_text("!!python/object:os.system {}"),
        r"params\.yaml is not readable as YAML: ",
    ),
    "a folder": (lambda path: path.mkdir(), r"params\.yaml"),
}


@pytest.mark.parametrize("case", FILES)
def test_an_unreadable_file_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    prepare, message = FILES[case]
    prepare(tmp_path / "params.yaml")
    with pytest.raises(ParameterError, match=message) as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
