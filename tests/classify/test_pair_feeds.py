"""Feeds give every pair and copy once an epoch, from any step on; the loss is that of distorted pairs."""

import numpy as np
import pytest
import torch

from oneshot.classify.distortions import draw_distortions
from oneshot.classify.nets.koch import KochSmall, SiamesePair
from oneshot.classify.packed_images import PackedImages
from oneshot.classify.pair_feeds import EndlessPairs, FixedPairs, PairLoss
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.omniglot.drawings import pack_rows
from tests.oracle import koch_numpy as oracle


@pytest.fixture(scope="module")
def source(synthetic_drawings):
    return koch_source(synthetic_drawings, "train")


def test_packed_drawings_come_out_by_their_numbers(synthetic_drawings):
    images = synthetic_drawings.unpack().reshape(-1, 105, 105)
    numbers = torch.tensor([25, 0, 119])
    found = PackedImages.of(synthetic_drawings)(numbers)
    np.testing.assert_array_equal(found, images[numbers])
    np.testing.assert_array_equal(PackedImages.of(images)(numbers), found)
    np.testing.assert_array_equal(PackedImages.of(pack_rows(images))(numbers), found)


@pytest.mark.parametrize("n_copies", [0, 8])
def test_every_pair_and_copy_comes_once_an_epoch_in_a_new_order(n_copies, source):
    pairs = draw_set(source, 14, seed=0)
    feed = FixedPairs(pairs, batch_size=4, seed=1, n_copies=n_copies)
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


def test_batches_depend_on_the_step_alone(source):
    pairs = draw_set(source, 14, seed=0)
    for make in (
        lambda: FixedPairs(pairs, batch_size=4, seed=1, n_copies=2),
        lambda: EndlessPairs(source, batch_size=4, seed=1, n_epoch=10),
    ):
        feed, fresh = make(), make()
        for step in (9, 3, 0):
            for found, expected in zip(feed.batch(step), fresh.batch(step), strict=True):
                assert torch.equal(found, expected)
        assert not torch.equal(feed.batch(9)[0], feed.batch(3)[0])


def test_loss_is_the_cross_entropy_of_distorted_pairs(source, synthetic_drawings):
    net = SiamesePair(KochSmall((1, 2, 2, 2), 4)).initialise(torch.Generator().manual_seed(0))
    for convolution in net.base.convolutions:
        torch.nn.init.kaiming_normal_(convolution.weight, generator=torch.Generator().manual_seed(0))
    drawings, same, inverses = EndlessPairs(source, batch_size=2, seed=1, n_epoch=10).batch(0)
    images = synthetic_drawings.unpack().reshape(-1, 105, 105)
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    losses = []
    for pair, label, maps in zip(drawings.tolist(), same.tolist(), inverses.double().numpy(), strict=True):
        seen = [read_off(images[number], inverse) for number, inverse in zip(pair, maps, strict=True)]
        probability = oracle.sigmoid(oracle.logit(*seen, weights))
        losses.append(-np.log(probability if label else 1 - probability))
    found = PairLoss(net, synthetic_drawings)(drawings, same, inverses).item()
    assert found == pytest.approx(np.mean(losses), abs=1e-4)
    assert found != pytest.approx(PairLoss(net, synthetic_drawings)(drawings, same).item(), abs=1e-3)


def read_off(image, inverse):
    result = np.zeros((105, 105))
    for row, column in np.ndindex(105, 105):
        x, y = inverse @ [column - 52, row - 52, 1]
        result[row, column] = oracle.bilinear(image, y + 52, x + 52)
    return result
