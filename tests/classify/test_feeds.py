"""Feeds give what they document, from any step on; losses are those written out pair by pair."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from oneshot.classify.distortions import distort, draw_distortions
from oneshot.classify.feeds import EpisodeFeed, EpisodeLoss, PackedImages, PairFeed, PairLoss, turn
from oneshot.classify.nets.koch import KochSmall
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.classify.recipes import Own
from oneshot.errors import ParameterError
from oneshot.omniglot.classes import Classes, omniglot_classes
from oneshot.training.fit import fit
from oneshot.training.initial_weights import fill_he
from tests.oracle import koch_numpy as oracle

# Images 0 to 23: alphabet a has 4 classes of 3 images, b has 2 of 4, c 1 of 4; not in the order of numbers.
OWN = Classes(
    tuple(np.array(images, np.int32) for images in np.split(np.arange(24)[::-1], [3, 6, 9, 12, 16, 20])),
    ("a", "a", "a", "a", "b", "b", "c"),
)


def read_batch(feed, step):
    """Of every class of an episode: its place in OWN, its quarters and its images, which must agree."""
    numbers, turns = (tensor.reshape(feed.n_way, -1).numpy() for tensor in feed.batch(step)[:2])
    rows = []
    for images, quarters in zip(numbers.tolist(), turns.tolist(), strict=True):
        (place,) = [k for k, members in enumerate(OWN.images) if set(images) <= set(members.tolist())]
        assert len(set(quarters)) == 1
        rows.append((place, quarters[0], images))
    return rows


@pytest.mark.parametrize("within_alphabets", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_episodes_hold_different_images_of_different_classes(within_alphabets, turned):
    feed = EpisodeFeed(
        OWN, seed=0, n_way=3, n_shot=1, n_query=2, within_alphabets=within_alphabets, turned=turned
    )
    seen = set()
    for step in range(60):
        rows = read_batch(feed, step)
        assert len({row[:2] for row in rows}) == 3
        assert all(len(set(images)) == 3 for _, _, images in rows)
        seen |= {(*row[:2], image) for row in rows for image in row[2]}
    assert {quarters for _, quarters, _ in seen} == (set(range(4)) if turned else {0})
    assert len(seen) == 24 * feed.n_turns  # all images, turned all ways


@pytest.mark.parametrize("turned", [False, True])
def test_episodes_within_alphabets_are_of_one_as_far_as_it_goes_and_turn_it_as_a_whole(turned):
    feed = EpisodeFeed(OWN, seed=0, n_way=3, n_query=1, within_alphabets=True, turned=turned)
    firsts = set()
    for step in range(60):
        origins = [(OWN.alphabets[place], quarters) for place, quarters, _ in read_batch(feed, step)]
        assert origins == sorted(origins, key=origins.index), "an alphabet's classes are apart"
        n_whole = {"a": 4, "b": 2, "c": 1}
        for origin in dict.fromkeys(origins[:-1]):
            n_after = len(origins) - origins.index(origin)
            assert origins.count(origin) == min(n_whole[origin[0]], n_after)
        firsts.add(origins[0])
    assert len(firsts) == 3 * feed.n_turns


def test_classes_of_mixed_episodes_turn_each_on_its_own():
    feed = EpisodeFeed(OWN, seed=0, n_way=28, n_query=1)
    rows = read_batch(feed, 0)
    assert {row[:2] for row in rows} == {(place, quarters) for place in range(7) for quarters in range(4)}


@pytest.mark.parametrize("within_alphabets", [False, True])
@pytest.mark.parametrize(("turned", "expected"), [(False, {0, 4}), (True, set(range(8)))])
def test_mirror_images_are_classes_of_their_own(within_alphabets, turned, expected):
    feed = EpisodeFeed(
        OWN, seed=0, n_way=12, n_query=1, within_alphabets=within_alphabets, turned=turned, mirrored=True
    )
    rows = [row for step in range(40) for row in read_batch(feed, step)]
    assert {row[1] for row in rows} == expected
    assert all(len({row[:2] for row in rows[start : start + 12]}) == 12 for start in range(0, 480, 12))
    with pytest.raises(ParameterError, match=f"of 7 classes, each turned or mirrored {len(expected)} ways"):
        EpisodeFeed(OWN, seed=0, n_way=7 * len(expected) + 1, turned=turned, mirrored=True)


def test_batches_depend_on_seed_and_step_alone():
    def make(seed):
        return EpisodeFeed(OWN, seed=seed, n_way=3, n_query=2, within_alphabets=True, distorted=True)

    feed, fresh, other = make(1), make(1), make(2)
    for step in (9, 3, 0):
        for found, expected, different in zip(
            feed.batch(step), fresh.batch(step), other.batch(step), strict=True
        ):
            assert torch.equal(found, expected)
            assert found.dtype == different.dtype
            assert found.shape == different.shape
    for place in (0, 2):
        assert not torch.equal(feed.batch(9)[place], feed.batch(3)[place])
        assert not torch.equal(feed.batch(9)[place], other.batch(9)[place])


def test_every_image_has_a_distortion_of_its_own():
    feed = EpisodeFeed(OWN, seed=1, n_way=3, n_query=2, distorted=True)
    inverses = torch.cat([feed.batch(step)[2] for step in range(40)])
    assert inverses.shape == (40 * 9, 2, 3)
    rows = {row.numpy().tobytes() for row in inverses}
    assert len(rows) > 350  # one in 128 is an original
    assert len(feed.batch(0)) == 3
    assert len(EpisodeFeed(OWN, seed=1, n_way=3, n_query=2).batch(0)) == 2


def test_every_image_has_a_smooth_distortion_of_its_own_beside_or_without_an_affine_one():
    feed = EpisodeFeed(OWN, seed=1, n_way=3, n_query=2, displacement=0.1)
    inverses, moves = (
        torch.cat(parts) for parts in zip(*(feed.batch(k)[2:] for k in range(40)), strict=True)
    )
    assert (inverses == torch.eye(2, 3)).all()
    assert moves.shape == (40 * 9, 2, 5, 5)
    assert len(moves.unique()) > 0.99 * moves.numel()
    assert 0.099 < moves.abs().max() <= 0.1
    assert moves.dtype == torch.float32
    assert torch.equal(feed.batch(7)[3], moves[7 * 9 : 8 * 9])
    both = EpisodeFeed(OWN, seed=1, n_way=3, n_query=2, displacement=0.1, distorted=True).batch(7)
    affine = EpisodeFeed(OWN, seed=1, n_way=3, n_query=2, distorted=True).batch(7)
    assert torch.equal(both[2], affine[2])
    assert torch.equal(both[3], feed.batch(7)[3])


def class_of(number: int) -> int:
    return next(k for k, images in enumerate(OWN.images) if number in images)


def test_spliced_classes_take_the_right_half_of_another():
    settings = {"seed": 1, "n_way": 6, "n_query": 1, "displacement": 0.1}
    plain = EpisodeFeed(OWN, **settings)
    feed = EpisodeFeed(OWN, **settings, spliced=0.4)
    n_spliced = 0
    for step in range(100):
        numbers, turns, *distortions = feed.batch(step)
        left, right = numbers.T
        assert torch.equal(left, plain.batch(step)[0])
        assert all(map(torch.equal, (turns, *distortions), plain.batch(step)[1:]))
        shown, asked = (left != right).view(6, 2).T
        assert torch.equal(shown, asked)  # of a class all images or none
        of_left, of_right = ([class_of(number) for number in half.tolist()] for half in (left, right))
        assert of_right[::2] == of_right[1::2]
        assert all(
            (a != b) == bool(cut) for a, b, cut in zip(of_left[::2], of_right[::2], shown, strict=True)
        )
        n_spliced += int(shown.sum())
    assert 0.36 < n_spliced / 600 < 0.44


def test_a_spliced_image_is_turned_as_a_whole(synthetic_drawings):
    images = PackedImages(synthetic_drawings.numbered())
    numbers, turns = torch.tensor([[3, 5], [7, 7]]), torch.tensor([1, 0])
    spliced = images(numbers, turns)
    whole = torch.cat([images(torch.tensor([3]))[:, :, :52], images(torch.tensor([5]))[:, :, 52:]], dim=2)
    assert torch.equal(spliced[0], turn(whole, turns[:1])[0])
    assert torch.equal(spliced[1], images(torch.tensor([7]))[0])


def test_feeds_are_told_apart():
    settings = {"seed": 0, "n_way": 3, "n_shot": 1, "n_query": 1, "n_epoch": 100}
    about = EpisodeFeed(OWN, **settings).about()
    changes = [{key: value + 1} for key, value in settings.items()]
    changes += [
        {"within_alphabets": True},
        {"turned": False},
        {"mirrored": True},
        {"distorted": True},
        {"displacement": 0.1},
        {"spliced": 0.1},
    ]
    others = [EpisodeFeed(OWN, **settings | change).about() for change in changes]
    regrouped = replace(OWN, alphabets=("a", "a", "a", "b", "b", "b", "c"))
    renumbered = replace(OWN, images=(*OWN.images[:-1], OWN.images[-1] + 1))
    others += [EpisodeFeed(classes, **settings).about() for classes in (regrouped, renumbered)]
    assert all(other != about for other in others)
    assert len(str(about)) < 300


def test_too_few_classes_or_images_are_one_sentence(synthetic_drawings):
    few = omniglot_classes(synthetic_drawings, np.arange(42) < 3)
    with pytest.raises(
        ParameterError, match="13 ways need 2 or more, of 3 classes, each turned or mirrored 4 ways"
    ):
        EpisodeFeed(few, seed=0, n_way=13)
    with pytest.raises(ParameterError, match="4 ways need 2 or more, of 3 classes"):
        EpisodeFeed(few, seed=0, n_way=4, turned=False)
    with pytest.raises(ParameterError, match="1 ways need 2"):
        EpisodeFeed(few, seed=0, n_way=1)
    with pytest.raises(ParameterError, match=r"16 \+ 5 images .* a class has 20"):
        EpisodeFeed(few, seed=0, n_way=3, n_shot=16)
    with pytest.raises(ParameterError, match=r"1 \+ 0 images of a class need 1 or more of both"):
        EpisodeFeed(few, seed=0, n_way=3, n_query=0)


def test_quarter_turns():
    image = torch.arange(4.0).view(1, 2, 2)
    turned = turn(image.expand(4, 2, 2), torch.arange(4))
    mirrored = turn(image.expand(4, 2, 2), torch.arange(4, 8))
    for n in range(4):
        np.testing.assert_array_equal(turned[n], np.rot90(image[0].numpy(), n))
        np.testing.assert_array_equal(mirrored[n], np.rot90(np.fliplr(image[0].numpy()), n))


def test_images_are_turned_before_they_are_distorted():
    image = torch.zeros(1, 5, 5)
    image[0, 2, 4] = 1.0  # the right edge's middle
    downwards = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]]])
    found = distort(turn(image, torch.tensor([1])), downwards)
    assert found[0].nonzero().tolist() == [[1, 2]]  # turned to the top, then moved down


def visible_pair(n_code=4):
    """A small network whose codes differ between drawings."""
    generator = np.random.default_rng(0)
    net = KochSmall((1, 2, 2, 2), n_code).initialise(generator)
    for convolution in net.base.convolutions:
        fill_he(convolution.weight, generator)
    return net


def test_siamese_loss_is_that_written_out_pair_by_pair(synthetic_drawings):
    n_way, n_shot, n_query = 3, 2, 1
    images = synthetic_drawings.unpack().reshape(-1, 105, 105)
    classes = omniglot_classes(synthetic_drawings, np.arange(42) < 5)
    feed = EpisodeFeed(classes, seed=3, n_way=n_way, n_shot=n_shot, n_query=n_query)
    numbers, turns = feed.batch(0)
    net = visible_pair()
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    seen = [
        np.rot90(images[n], quarters) for n, quarters in zip(numbers.tolist(), turns.tolist(), strict=True)
    ]
    choices, same, different = [], [], []
    for own in range(n_way):
        query = seen[own * (n_shot + n_query) + n_shot]
        scores = np.zeros(n_way)
        for other in range(n_way):
            for shot in range(n_shot):
                logit = oracle.logit(query, seen[other * (n_shot + n_query) + shot], weights)
                scores[other] += logit / n_shot
                if own == other:
                    same.append(-np.log(oracle.sigmoid(logit)))
                else:
                    different.append(-np.log(1 - oracle.sigmoid(logit)))
        choices.append(np.log(np.exp(scores).sum()) - scores[own])
    pairs = (np.mean(same) + np.mean(different)) / 2
    expected = (np.mean(choices) + pairs) / 2
    loss = EpisodeLoss(net, synthetic_drawings.numbered(), n_way, n_shot)
    assert loss(numbers, turns).item() == pytest.approx(expected, abs=1e-4)


def test_prototypes_are_means_and_queries_are_chosen_by_distance(synthetic_drawings):
    n_way, n_shot, n_query = 3, 2, 2
    net = ProtoNet(3).initialise(np.random.default_rng(0))
    classes = omniglot_classes(synthetic_drawings, np.arange(42) < 5)
    numbers, turns, inverses = EpisodeFeed(
        classes, seed=3, n_way=n_way, n_shot=n_shot, n_query=n_query, distorted=True
    ).batch(0)
    with torch.no_grad():
        images = turn(PackedImages(synthetic_drawings.numbered())(numbers), turns)
        images = images if inverses is None else distort(images, inverses)
        codes = net(images).double().numpy()
    codes = codes.reshape(n_way, n_shot + n_query, -1)
    losses = []
    for own in range(n_way):
        for query in codes[own, n_shot:]:
            nearness = [-((query - codes[k, :n_shot].mean(0)) ** 2).sum() for k in range(n_way)]
            losses.append(np.logaddexp.reduce(nearness) - nearness[own])
    found = EpisodeLoss(net, synthetic_drawings.numbered(), n_way, n_shot)(numbers, turns, inverses).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


def test_both_ways_classes_look_for_their_queries_as_well(synthetic_drawings):
    net = ProtoNet(3).initialise(np.random.default_rng(0)).eval()
    classes = omniglot_classes(synthetic_drawings, np.arange(42) < 5)
    numbers, turns = EpisodeFeed(classes, seed=3, n_way=3, n_shot=1, n_query=2).batch(0)
    with torch.no_grad():
        codes = net(turn(PackedImages(synthetic_drawings.numbered())(numbers), turns)).double().numpy()
    codes = codes.reshape(3, 3, -1)
    nearness = -((codes[:, 1:, None] - codes[:, 0]) ** 2).sum(-1)  # class, query, class compared with
    choices = [np.logaddexp.reduce(row) - row[own] for own in range(3) for row in nearness[own]]
    backwards = nearness.mean(1)
    found = [np.logaddexp.reduce(backwards[:, own]) - backwards[own, own] for own in range(3)]
    loss = EpisodeLoss(net, synthetic_drawings.numbered(), 3, 1, both_ways=True)
    assert loss(numbers, turns).item() == pytest.approx((np.mean(choices) + np.mean(found)) / 2, rel=1e-4)


def test_prototypical_networks_learn_from_episodes(synthetic_drawings, tmp_path):
    net = ProtoNet(16).initialise(np.random.default_rng(0))
    classes = omniglot_classes(synthetic_drawings, np.arange(42) < 18)
    feed = EpisodeFeed(classes, seed=0, n_way=10, n_query=2, n_epoch=10, n_epochs=10)
    loss = EpisodeLoss(net, synthetic_drawings.numbered(), 10, 1)
    progress = fit(loss, feed, Own(3e-3), checkpoint=tmp_path / "run")
    losses = [point.loss for point in progress.curve]
    assert losses[-1] < 0.5 * losses[0]


def test_siamese_networks_learn_from_episodes(synthetic_drawings, tmp_path):
    net = KochSmall((8, 8, 8, 16), 32).initialise(np.random.default_rng(0))
    few = omniglot_classes(synthetic_drawings, np.arange(42) < 4, (0, 2))
    feed = EpisodeFeed(few, seed=0, n_way=4, n_query=1, turned=False, n_epoch=50, n_epochs=3)
    loss = EpisodeLoss(net, synthetic_drawings.numbered(), 4, 1)
    progress = fit(loss, feed, Own(3e-3), checkpoint=tmp_path / "run", log_every=50)
    assert progress.curve[-1].loss < 0.2


@pytest.fixture(scope="module")
def source(synthetic_drawings):
    return koch_source(synthetic_drawings, "train")


def test_packed_drawings_come_out_by_their_numbers(synthetic_drawings):
    images = synthetic_drawings.unpack().reshape(-1, 105, 105)
    numbers = torch.tensor([25, 0, 119])
    found = PackedImages(synthetic_drawings.numbered())(numbers)
    np.testing.assert_array_equal(found, images[numbers])


@pytest.mark.parametrize("n_copies", [0, 8])
def test_every_pair_and_copy_comes_once_an_epoch_in_a_new_order(n_copies, source):
    pairs = draw_set(source, 14, seed=0)
    feed = PairFeed(pairs, batch_size=4, seed=1, n_copies=n_copies)
    assert feed.n_epoch == 14 * (1 + n_copies)
    batches = [feed.batch(step) for step in range(feed.n_epoch // 2)]  # two epochs
    drawn = np.concatenate([batch[0].numpy() for batch in batches])
    wanted = np.repeat(pairs.drawings, 1 + n_copies, axis=0)
    first, second = drawn[: feed.n_epoch], drawn[feed.n_epoch :]
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch.view("i4,i4"), 0), np.sort(wanted.view("i4,i4"), 0))
    assert (first != second).any()
    if n_copies:
        inverses = np.concatenate([batch[2].numpy() for batch in batches])[: feed.n_epoch]
        originals = (inverses == np.eye(2, 3, dtype=np.float32)).all((1, 2, 3))
        assert 14 <= originals.sum() <= 16  # of the others one in 16,384 is an original too
        numbers, copies = np.divmod(np.arange(14 * 9), 9)
        expected = draw_distortions(1, numbers, copies)
        assert {row.tobytes() for row in inverses} == {row.tobytes() for row in expected}


def test_batches_of_pairs_depend_on_the_step_alone(source):
    feed, fresh = (
        PairFeed(draw_set(source, 14, seed=0), batch_size=4, seed=1, n_copies=2, n_epochs=4) for _ in "ab"
    )
    for step in (9, 3, 0):
        for found, expected in zip(feed.batch(step), fresh.batch(step), strict=True):
            assert torch.equal(found, expected)
    assert not torch.equal(feed.batch(9)[0], feed.batch(3)[0])
    assert feed.n_steps == 42
    assert len(list(feed.batches(40))) == 2
    assert [step for step in range(1, 43) if feed.ends_epoch(step)] == [11, 21, 32, 42]


def test_loss_is_the_cross_entropy_of_distorted_pairs(source, synthetic_drawings):
    net = KochSmall((1, 2, 2, 2), 4).initialise(np.random.default_rng(0))
    for convolution in net.base.convolutions:
        fill_he(convolution.weight, np.random.default_rng(0))
    feed = PairFeed(draw_set(source, 2, seed=1), batch_size=2, seed=1, n_copies=8)
    drawings, same, inverses = feed.batch(1)
    images = synthetic_drawings.unpack().reshape(-1, 105, 105)
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    losses = []
    for pair, label, maps in zip(drawings.tolist(), same.tolist(), inverses.double().numpy(), strict=True):
        seen = [read_off(images[number], inverse) for number, inverse in zip(pair, maps, strict=True)]
        probability = oracle.sigmoid(oracle.logit(*seen, weights))
        losses.append(-np.log(probability if label else 1 - probability))
    found = PairLoss(net, synthetic_drawings.numbered())(drawings, same, inverses).item()
    assert found == pytest.approx(np.mean(losses), abs=1e-4)
    assert found != pytest.approx(
        PairLoss(net, synthetic_drawings.numbered())(drawings, same).item(), abs=1e-3
    )


def read_off(image, inverse):
    result = np.zeros((105, 105))
    for row, column in np.ndindex(105, 105):
        x, y = inverse @ [column - 52, row - 52, 1]
        result[row, column] = oracle.bilinear(image, y + 52, x + 52)
    return result
