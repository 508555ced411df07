"""params.yaml, read and checked."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from oneshot.classify.scoring import (
    BACKGROUND_VERIFICATION,
    BEST_THRESHOLD,
    SELECTION,
    VALIDATION,
    VERIFICATION,
)
from oneshot.errors import ParameterError
from oneshot.params import apply_overrides, check_params, load_params, read_values
from oneshot.params.scales import OTHER_PROTOCOLS, TRIAL_LISTS
from oneshot.published import SELECTION_LIST, VALIDATION_LIST, read_facts
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


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_every_scale_can_be_chosen(scale: str) -> None:
    assert check_params(change("scale", scale)).scale == load_params(PARAMS).scales[scale]


def test_networks_are_found_by_task_and_name() -> None:
    params = load_params(PARAMS, ["scale=smoke"])
    assert params.find_network("segmentation", "masknet-4").starts_from == "siamese_unet-4"
    assert params.find_network("segmentation", "siamese_unet-4").starts_from is None
    assert params.amount_of("segmentation", "siamese_unet-8") is None
    assert params.amount_of("classification", "own").n_epochs == 2
    with pytest.raises(ParameterError, match="no network 'mine' for segmentation; there are siamese_unet-4"):
        params.find_network("segmentation", "mine")
    with pytest.raises(ParameterError, match="no task 'detection'; choose segmentation or classification"):
        params.networks_of("detection")


def test_a_number_that_yaml_takes_for_text_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(re.sub("^lr: .*", "lr: 1e-05", PARAMS.read_text(), flags=re.MULTILINE))
    assert yaml.safe_load(path.read_text())["lr"] == "1e-05"
    assert load_params(path).lr == 1e-05


@pytest.mark.parametrize(
    "place",
    [
        "foo",
        "segmentation.recipes.masknet.fast.proposals.foo",
        "classification.networks.own.smoke.n_pairs",
        "scales.paper.foo",
    ],
)
def test_an_unknown_parameter_is_named_with_its_place(place: str) -> None:
    assert_refused(change(place, 1), f"{place} is not a known parameter")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("seed", "many"),
        ("seed", 2**32),
        ("lr", 0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("render.n_workers", None),
        ("segmentation.recipes.masknet.fast.proposals.matching_weight", -1),
        ("segmentation.recipes.colour_matcher_covered.own.segmentation.covered_share", 1.0),
        ("scales.laptop.source", "mnist"),
        ("scales.laptop.render.job_scenes", 2001),
        ("scales.laptop.segmentation.recipe", "slow"),
        ("scales.laptop.segmentation.n_jobs", 1001),
        ("scales.laptop.evaluate.n_scenes", 1),
        ("segmentation.networks.siamese_unet-joint.smoke", "all"),
        ("classification.networks.own.recipe", "mine"),
        ("classification.recipes.own.lr", 1),
        ("classification.recipes.background.lr", 0),
        ("render.n_workers", 0),
        ("render.n_workers", -99),
        ("render.n_workers", 100_000),
        ("lr", True),
        ("seed", True),
        ("segmentation.recipes.siamese_unet.fast.segmentation.batch_size", 1_000_000),
        ("segmentation.recipes.siamese_unet.fast.segmentation.matching_weight", 1e30),
        ("segmentation.networks.siamese_unet-4.paper.n_epochs", 10**9),
        ("scales.laptop.segmentation.feature_maps", 3000),
        ("segmentation.networks.colour_matcher.laptop.feature_maps", 10**12),
        ("scales.smoke.synthetic.n_alphabets.train", 10**9),
        ("scales.laptop.evaluate.n_scenes", 10_001),
        ("classification.recipes.published.momenta", [True] * 6),
        ("classification.recipes.published.lrs", []),
        ("classification.networks", {}),
        ("segmentation.networks", {}),
        ("speed", "rocket"),
        ("speed", "bf16,"),
        ("speed", ""),
    ],
)
def test_a_bad_value_is_quoted_with_its_place(place: str, value: Any) -> None:
    assert_refused(change(place, value), f"{place} is {value!r}, but ")


@pytest.mark.parametrize(
    ("levels", "message"),
    [([4, 5], ".1 is 5, but "), ([], " is"), ([4, 4, 4], " is [4, 4, 4], but every level stands once")],
)
def test_an_unknown_clutter_level_of_a_phase_is_quoted(levels: list[int], message: str) -> None:
    place = "segmentation.networks.siamese_unet-joint.smoke.phases.segmentation"
    values = change(place, [{"clutter_levels": levels, "n_scenes": 10}])
    assert_refused(values, f"segmentation.0.clutter_levels{message}")


def test_several_problems_are_one_sentence() -> None:
    values = change("seed", -1)
    values["foo"] = 1
    del values["scales"]["smoke"]["evaluate"]["batch_size"]
    assert_refused(
        values, "seed is -1", "; foo is not a known parameter",
        "scales.smoke.evaluate.batch_size is missing",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("network", "key", "value"),
    [
        ("contrastive", "channels", []),
        ("contrastive", "channels", 7),
        ("contrastive", "n_code", -1),
        ("contrastive", "n_code", 0),
        ("contrastive", "n_code", 10**12),
        ("contrastive", "n_code", True),
        ("contrastive", "side", 0),
        ("contrastive", "side", -3),
        ("contrastive", "side", 10**6),
        ("contrastive", "normalised", "maybe"),
        ("contrastive_koch", "normalised", "maybe"),
        ("contrastive_koch", "n_code", 0),
    ],
)
def test_a_bad_setting_of_a_network_is_quoted_with_its_place(network: str, key: str, value: Any) -> None:
    place = f"classification.networks.{network}.settings"
    assert_refused(change(place, {key: value}), f"{place}.{key} is {value!r}, but ")


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        ("contrastive", {"channels": [24, -1, 96]}, "settings.channels.1 is -1, but "),
        ("contrastive", {"channels": [10**7] * 4}, "settings.channels.0 is 10000000, but "),
        ("contrastive", {"colour": 1}, "settings.colour is not a known parameter"),
        ("contrastive_koch", {"side": 40}, "settings.side is not a known parameter"),
        ("contrastive_koch", {"channels": [1, 2, 3]}, "settings.channels.3 is missing"),
        ("protonet", {"n_filters": 0}, "settings.n_filters is 0, but "),
    ],
)
def test_settings_are_those_of_the_network(network: str, settings: dict[str, Any], message: str) -> None:
    assert_refused(change(f"classification.networks.{network}.settings", settings), message)


def test_settings_are_kept_as_given() -> None:
    settings = {"channels": [32, 64, 128, 128], "side": 40, "n_code": 256, "normalised": False}
    values = change("classification.networks.contrastive.settings", settings)
    values["classification"]["networks"]["contrastive_koch"]["settings"] = {}
    values["classification"]["networks"]["protonet"] |= {"net": "mine", "settings": {"depth": 3}}
    networks = check_params(values).classification.networks
    names = ("contrastive", "contrastive_koch", "protonet")
    assert [networks[name].settings for name in names] == [settings, {}, {"depth": 3}]


def test_an_unknown_scale_is_named_beside_the_known_ones() -> None:
    assert_refused(
        change("scale", "huge"), "scale is 'huge', but input should be 'smoke', 'laptop' or 'paper'"
    )


def test_synthetic_alphabets_need_their_sizes() -> None:
    values = change("scale", "smoke")
    values["scales"]["smoke"]["synthetic"] = None
    assert_refused(values, "scales.smoke.synthetic is empty, but its source is synthetic")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "segmentation.networks.masknet-4.recipes=mine",
            "networks.masknet-4.recipes is 'mine', which there are not",
        ),
        ("segmentation.networks.masknet-4.needs=models/segmentation/mine", "is none of the networks"),
        (
            "segmentation.networks.masknet-4.needs=data/manifests/drawings.json",
            "networks.masknet-4 needs 'data/manifests/drawings.json'; it can need models/segmentation/NAME",
        ),
        (
            "segmentation.networks.masknet-4.needs=models/segmentation/colour_matcher",
            "networks.masknet-4 needs 'models/segmentation/colour_matcher', which is no siamese_unet",
        ),
        (
            "segmentation.networks.colour_matcher.needs=models/segmentation/siamese_unet-4",
            "which is no colour_matcher",
        ),
        (
            "segmentation.networks.colour_matcher.needs=models/segmentation/colour_matcher",
            "networks.colour_matcher needs 'models/segmentation/colour_matcher', which starts from itself",
        ),
        (
            "segmentation.networks.colour_matcher.needs=params.yaml",
            "needs 'params.yaml'; it can need data/manifests/drawings.json, or models/segmentation/NAME",
        ),
        (
            "segmentation.networks.colour_matcher.recipes=siamese_unet",
            "networks.colour_matcher is a colour_matcher, which recipes siamese_unet do not train",
        ),
        (
            "segmentation.networks.siamese_unet-4.recipes=colour_matcher",
            "networks.siamese_unet-4 is a siamese_unet, which recipes colour_matcher do not train",
        ),
        (
            "segmentation.recipes.siamese_unet.fast.segmentation={lr: 0.002, batch_size: 8, "
            "matching_weight: 0.1, lower_levels: 0.3, weight_decay: 0.1}",
            "siamese_unet.fast.segmentation uses no weight_decay",
        ),
        (
            "segmentation.recipes.colour_matcher.own.segmentation.matching_weight=0.1",
            "colour_matcher.own.segmentation uses no matching_weight",
        ),
        (
            "segmentation.recipes.masknet.fast.discriminator.matching_weight=0.1",
            "masknet.fast.discriminator uses no matching_weight",
        ),
        (
            "segmentation.networks.siamese_unet-4.smoke="
            "{n_epochs: null, n_views: 8, phases: {segmentation: [{clutter_levels: [4], n_scenes: 8}]}}",
            "networks.siamese_unet-4 is no colour matcher, and uses no n_views",
        ),
        (
            "segmentation.networks.siamese_unet-4.smoke.phases="
            "{proposals: [{clutter_levels: [4], n_scenes: 8}]}",
            "siamese_unet-4.smoke.phases are of proposals, but recipe published of siamese_unet trains segm",
        ),
        (
            "segmentation.networks.siamese_unet-4.smoke.phases="
            "{segmentation: [{clutter_levels: [256], n_scenes: 8}]}",
            "siamese_unet-4.smoke ends its training at clutter levels [256], but is evaluated at 4 alone",
        ),
        (
            "segmentation.recipes.siamese_unet={}",
            "segmentation.recipes.siamese_unet lacks 'fast', by which scale smoke trains siamese_unet-4",
        ),
    ],
)
def test_a_network_is_checked_by_its_kind(override: str, message: str) -> None:
    assert_refused(apply_overrides(read_values(PARAMS), [override]), message)


def test_the_end_of_a_networks_name_is_a_clutter_level() -> None:
    values = change("seed", 1)
    networks = values["segmentation"]["networks"]
    networks["siamese_unet-levl_4"] = networks["siamese_unet-4"]
    assert_refused(values, "networks.siamese_unet-levl_4: after - a name has a clutter level, or joint")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("levl_4", "networks.levl_4 is a siamese_unet: name it siamese_unet, siamese_unet-LEVEL or"),
        ("siamese_unet_4", "networks.siamese_unet_4 is a siamese_unet: name it siamese_unet,"),
        ("../siamese_unet-4", "networks.../siamese_unet-4 is '../siamese_unet-4', but "),
        ("siamese_unet-4-8", "networks.siamese_unet-4-8 is 'siamese_unet-4-8', but "),
        ("", "networks. is '', but "),
    ],
)
def test_a_network_for_segmentation_is_named_by_its_net(name: str, message: str) -> None:
    values = change("seed", 1)
    networks = values["segmentation"]["networks"]
    networks[name] = networks["siamese_unet-4"]
    assert_refused(values, message)


@pytest.mark.parametrize("name", ["", "..", "a/b", "own-2", "own\n", "ö"])
def test_a_network_for_classification_has_a_plain_name(name: str) -> None:
    values = change("seed", 1)
    networks = values["classification"]["networks"]
    networks[name] = networks["own"]
    assert_refused(values, f" is {name!r}, but ")


def test_a_network_may_be_left_out_unless_another_starts_from_it() -> None:
    values = change("seed", 1)
    for task, name in (("segmentation", "colour_matcher"), ("classification", "contrastive_koch")):
        del values[task]["networks"][name]
    assert "colour_matcher" not in check_params(values).segmentation.networks
    del values["segmentation"]["networks"]["siamese_unet-joint"]
    assert_refused(
        values, "networks.masknet-joint needs 'models/segmentation/siamese_unet-joint', which is none"
    )


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("classification.recipes.published.lrs", [0.01], "lrs has 1 numbers, but the network 6 layers"),
        ("classification.recipes.published.momenta", [0.9] * 50, "momenta has 50 numbers, but "),
        ("other_images.validation_share", 0.8, "other_images.validation_share and test_share leave nothing"),
        ("scales.smoke.classification.hausdorff", ["verification"], "hausdorff names 'verification'; there"),
        (
            "scales.paper.recheck.protocols",
            ["within"],
            "scales.paper.recheck.protocols names 'within'; there",
        ),
    ],
)
def test_values_that_do_not_fit_each_other_are_named(place: str, value: Any, message: str) -> None:
    assert_refused(change(place, value), message)


def test_known_names_are_those_there_are() -> None:
    drawn = {*read_facts("episodes")["benchmarks"]} - {VALIDATION_LIST, SELECTION_LIST}
    assert {*TRIAL_LISTS} == {"all_runs", "mnist"} | drawn
    scored = {VALIDATION, SELECTION, VERIFICATION, BEST_THRESHOLD}
    assert {*OTHER_PROTOCOLS} == scored | {
        f"{BACKGROUND_VERIFICATION}/{split}" for split in ("validation", "test")
    }


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param("seed", "x" * 16_000, id="a long value"),
        pytest.param("seed", 16**5000, id="more digits than Python writes"),
        pytest.param("classification.recipes.own", dict.fromkeys(map(str, range(1000)), 1), id="many"),
        pytest.param("segmentation.networks.masknet-4.recipes", "x" * 16_000, id="a long name"),
        pytest.param("x" * 16_000, 1, id="a long key"),
    ],
)
def test_a_refusal_is_short(place: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        check_params(change(place, value))
    assert len(str(caught.value)) < 1000


def test_an_unknown_list_of_trials_is_named_without_all_that_there_are() -> None:
    with pytest.raises(ParameterError, match=r"names '\.\./x'; there are all_runs, .* \.\.\.\.$") as caught:
        check_params(change("scales.laptop.recheck.protocols", ["../x"]))
    assert len(str(caught.value)) < 500


def test_overrides_replace_values_as_dvc_does_and_leave_the_rest() -> None:
    values = read_values(PARAMS)
    changed = apply_overrides(
        values,
        ["lr=1e-5", "classification.recipes.published.lrs=[0.1, 0.02, 0.01, 0.01, 0.01, 0.01]",
         "classification.networks.own.laptop=null",
         "segmentation.networks.siamese_unet-4.paper.phases.segmentation.0.n_scenes=7", "speed=bf16,fused"],
    )  # fmt: skip
    assert values == read_values(PARAMS)
    values["lr"] = 7
    assert read_values(PARAMS)["lr"] is None
    assert check_params(changed).lr == 1e-5
    assert changed["classification"]["recipes"]["published"]["lrs"][:2] == [0.1, 0.02]
    assert changed["classification"]["networks"]["own"]["laptop"] is None
    phases = changed["segmentation"]["networks"]["siamese_unet-4"]["paper"]["phases"]["segmentation"]
    assert (phases[0]["n_scenes"], changed["speed"]) == (7, "bf16,fused")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "-S seed lacks a value: write it as seed=VALUE"),
        ("sede=1", "-S sede=1: sede is not a known parameter"),
        ("scales.tiny.evaluate=1", "scales.tiny is not a known parameter"),
        ("seed.more=1", "seed.more is not a known parameter"),
        ("lr=[1", "'[1' is not readable as YAML"),
        ("lr=2026-13-45", "'2026-13-45' is not readable as YAML"),
        ("lr=!!bool maybe", "is not readable as YAML"),
        ("classification.networks.own.smoke={n_epochs: 1, n_epochs: 2}", "is not readable as YAML"),
    ],
)
def test_a_wrong_override_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)) as caught:
        apply_overrides(read_values(PARAMS), [override])
    assert "\n" not in str(caught.value)


UNREADABLE = r"params\.yaml is not readable as YAML: "
FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, r"there is no .*params\.yaml .*top level"),
    "broken": (lambda path: path.write_text("scale: [smoke\nseed: 1\n"), UNREADABLE),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe\x00\x80"), UNREADABLE),
    "no date": (lambda path: path.write_text("lr: 2026-13-45\n"), UNREADABLE + "month must be"),
    "many digits": (lambda path: path.write_text(f"seed: {'1' * 5000}\n"), UNREADABLE),
    "no integer": (lambda path: path.write_text("seed: !!int ''\n"), UNREADABLE),
    "deep": (lambda path: path.write_text("[" * 3000), UNREADABLE),
    "a key twice": (lambda path: path.write_text("seed: 7\nseed: 7\n"), UNREADABLE + "seed stands twice"),
    "a tag": (lambda path: path.write_text("!!python/object:os.system {}"), UNREADABLE),
    "a list": (lambda path: path.write_text("- 1\n"), r"params\.yaml: the file is \[1\], but "),
    "a folder": (lambda path: path.mkdir(), r"params\.yaml"),
}


@pytest.mark.parametrize("case", FILES)
def test_an_unreadable_file_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    prepare, message = FILES[case]
    prepare(tmp_path / "params.yaml")
    with pytest.raises(ParameterError, match=message) as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_merge_keys_and_anchors_may_repeat_keys_of_what_they_merge(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: &a { x: 1 }\nb: &b { <<: *a, x: 2 }\nc: { <<: [*b, *a], y: *b }\n")
    assert read_values(path) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 2, "y": {"x": 2}}}
