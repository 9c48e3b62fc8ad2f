"""Random changes of images: by hand, and that the key alone draws them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import Intervention, Training, evaluate, train
from raylot.training.augmentation import Augmentation
from tests.unit.training.networks import bits, vector

_KEY = RandomKey((0, "test"))
_CPU = torch.device("cpu")


def _drawn(images: int, augment: str, padding: int = 2, key: RandomKey = _KEY) -> Augmentation:
    options = OptimizerOptions(augment=augment, crop_padding=padding)
    return Augmentation.drawn(options, key, images, _CPU)


def test_a_cut_and_a_mirror_image_by_hand() -> None:
    image = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)
    mirrored, places = torch.tensor([False, False, True, True]), torch.tensor([1, 0, 1, 2])
    changes = Augmentation(mirrored, places, places.flip(0), padding=1)
    found = changes.of(image.expand(4, 1, 2, 3))
    assert found.dtype == torch.uint8
    assert found.squeeze(1).tolist() == [
        [[2, 3, 0], [5, 6, 0]],  # one pixel further right
        [[0, 0, 0], [1, 2, 3]],  # one row further up
        [[2, 1, 0], [5, 4, 0]],  # one pixel further left, then mirrored
        [[6, 5, 4], [0, 0, 0]],  # one row further down, then mirrored
    ]


@pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (3, 5, 4), (2, 3, 5, 4)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int32])
def test_each_image_is_cut_out_of_itself_padded(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """As slicing and flipping one image after the other do it, all channels alike."""
    images = torch.randint(1, 200, (50, *shape)).to(dtype)
    changes = _drawn(50, "flip_crop")
    found = changes.of(images)
    for i, image in enumerate(images):
        padded = F.pad(image, (2, 2, 2, 2))
        down, right = int(changes.down[i]), int(changes.right[i])
        cut = padded[..., down : down + 5, right : right + 4]
        assert torch.equal(found[i], cut.flip(-1) if changes.mirrored[i] else cut)


def test_changes_are_drawn_evenly() -> None:
    changes = _drawn(20_000, "flip_crop")
    assert abs(float(changes.mirrored.double().mean()) - 0.5) < 0.02
    for place in (changes.down, changes.right):
        shares = place.bincount(minlength=5).double() / 20_000
        assert len(shares) == 5
        torch.testing.assert_close(shares, torch.full((5,), 0.2).double(), rtol=0, atol=0.02)
    pairs = (changes.down * 5 + changes.right).bincount()
    assert pairs.min() > 600  # of 800 each


def test_what_is_not_asked_for_does_not_happen() -> None:
    images = torch.randint(0, 200, (40, 3, 4))
    flipped, cut = _drawn(40, "flip").of(images), _drawn(40, "crop")
    is_mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    assert 0 < is_mirrored.sum() < 40
    assert torch.equal(flipped[~is_mirrored], images[~is_mirrored])
    assert not cut.mirrored.any()
    assert cut.down.any()


# ------------------------------------------------------------------ in trainings


def _images(examples: int = 40, first: int = 1, **options: Any) -> Task:
    """Image i is a column of two pixels first + i and 100 + first + i, beside a column of 0s."""
    inputs = torch.zeros(examples, 1, 2, 2, dtype=torch.uint8)
    inputs[:, 0, 0, 0] = torch.arange(first, first + examples)
    inputs[:, 0, 1, 0] = torch.arange(100 + first, 100 + first + examples)
    labels = torch.arange(examples) % 2
    return Task(inputs, labels, inputs[:7], labels[:7], 2, **options)


class _Seen(Intervention):
    """Notes the inputs of each step."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []

    def loss_term(self, training: Training) -> None:
        self.inputs.append(training.inputs.clone())


def _network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


def _trained(augment: str = "flip", **changes: Any) -> tuple[Tensor, nn.Module]:
    """The inputs in the order of use, and the network."""
    seen, network = _Seen(), changes.pop("network", None) or _network()
    arguments: dict[str, Any] = {
        "task": _images(), "epochs": 3, "batch_size": 8, "key": _KEY, "intervention": seen,
        "optimizer": OptimizerOptions(augment=augment, crop_padding=1, lr=0.01),
    }  # fmt: skip
    train(network, **{**arguments, **changes})
    return torch.cat(seen.inputs), network


def test_images_are_changed_anew_in_each_epoch() -> None:
    inputs, _ = _trained()
    plain, _ = _trained("none")
    is_mirrored = inputs[:, 0, 0, 1] > 0
    restored = torch.where(is_mirrored[:, None, None, None], inputs.flip(-1), inputs)
    assert torch.equal(restored, plain)
    of_image = torch.zeros(3, 41, dtype=torch.bool)
    for epoch, (images, mirrored) in enumerate(
        zip(plain.split(40), is_mirrored.split(40), strict=True)
    ):
        of_image[epoch, images[:, 0, 0, 0].long()] = mirrored
    assert 10 < of_image[0].sum() < 30
    assert not torch.equal(of_image[0], of_image[1])
    assert not torch.equal(of_image[1], of_image[2])


@pytest.mark.parametrize("augment", ["flip", "crop", "flip_crop"])
def test_the_key_alone_decides(augment: str) -> None:
    """Not how many batches are gathered at once, nor where the training stops."""
    inputs, network = _trained(augment)
    torch.manual_seed(99)
    again, same = _trained(augment)
    assert torch.equal(inputs, again)
    assert torch.equal(bits(vector(network)), bits(vector(same)))
    stopped, _ = _trained(augment, max_steps=7)
    assert torch.equal(stopped, inputs[: 7 * 8])
    in_small_batches, _ = _trained(augment, batch_size=1)
    assert torch.equal(in_small_batches, inputs)
    other, _ = _trained(augment, key=RandomKey((1, "test")))
    assert not torch.equal(other, inputs)


def test_stored_values_are_padded_before_they_are_scaled() -> None:
    inputs, _ = _trained("crop", task=_images(offset=50.0, divisor=10.0))
    assert inputs.min() == -5.0  # an added pixel is one of value 0
    stored = (inputs * 10 + 50).round()
    torch.testing.assert_close(inputs, (stored - 50) / 10)
    assert {*stored.flatten().tolist()} <= {0, *range(1, 41), *range(101, 141)}


def test_neither_evaluations_nor_the_task_are_changed() -> None:
    task = _images()
    before = task.train_inputs.clone()
    network = _network()
    still = OptimizerOptions(optimizer="sgd", lr=1e-30, augment="flip_crop", crop_padding=2)
    found = evaluate(network, task)
    result = train(network, task, epochs=2, batch_size=8, key=_KEY, optimizer=still,
                   learning_curve=True)  # fmt: skip
    assert result.test_loss == found.loss
    assert result.learning_speed == result.test_accuracy == found.accuracy
    assert torch.equal(task.train_inputs, before)


def test_online_measures_are_of_the_changed_images() -> None:
    """A network that sees whether an image is mirrored takes half of them for class 1."""
    network = _network()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[0.0, 0, 0, 0], [0, 1, 0, 0]]))
        network[1].bias.copy_(torch.tensor([0.5, 0]))
    task = _images()
    zeros = Task(task.train_inputs, torch.zeros(40, dtype=torch.int64), task.test_inputs,
                 torch.zeros(7, dtype=torch.int64), 2)  # fmt: skip
    still = OptimizerOptions(optimizer="sgd", lr=1e-30, augment="flip")
    result = train(network, zeros, epochs=50, batch_size=8, key=_KEY, optimizer=still)
    assert result.online_accuracy == pytest.approx(0.5, abs=0.05)
    assert result.test_accuracy == 1


def test_images_of_a_task_that_fades_out_are_changed_too() -> None:
    arguments: dict[str, Any] = {
        "previous": _images(30, first=60, offset=1.0),
        "gradual": 1.0,
        "task": _images(divisor=2.0),
    }
    plain, _ = _trained("none", **arguments)
    inputs, _ = _trained(**arguments)
    is_old = plain[:, 0, 0, 0] > 50
    for chosen in (is_old, ~is_old):
        same = (inputs[chosen] == plain[chosen]).flatten(1).all(1)
        mirrored = (inputs[chosen] == plain[chosen].flip(-1)).flatten(1).all(1)
        assert (same ^ mirrored).all()
        assert 0.3 < mirrored.double().mean() < 0.7


def test_the_stacked_engine_refuses_it() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(OptionError, match=r"^engine=stacked: .* augment$"):
        _trained(engine="stacked", intervention=None, network=network)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((6,), {"augment": "flip"}, "augment=flip: must be none for inputs of shape (6,)"),
        ((1, 3, 6), {"augment": "crop", "crop_padding": 4}, "crop_padding=4: must be at most 3"),
        ((6, 3), {"augment": "flip_crop"}, "crop_padding=4: must be at most 3"),
    ],
)
def test_what_is_no_image_or_too_small_is_refused(
    shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    inputs, labels = torch.ones(4, *shape), torch.zeros(4, dtype=torch.int64)
    task = Task(inputs, labels, inputs, labels, 2)
    with pytest.raises(OptionError, match=f"^{re.escape(message)}"):
        _trained(task=task, optimizer=OptimizerOptions(**options))
