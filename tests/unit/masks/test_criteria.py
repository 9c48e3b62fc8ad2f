"""Built-in pruning criteria by hand, and what is refused of a plugin's scores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from raylot import plugins
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.masks.context import MeanGradients, PruningContext
from raylot.masks.criteria import CRITERIA, score
from raylot.masks.pruning import keep_highest
from tests.support.tasks import random_task

_START = [1.0, -2.0, 3.0, -0.5]

_TRAINED = [1.5, -1.0, 3.0, -2.0]

_KEY = RandomKey((0,))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    plugins.forget()


def _context(
    trained: list[float] = _TRAINED,
    key: RandomKey = _KEY,
    kept: tuple[bool, ...] = (True, True, True, True),
    diverged: bool = False,
) -> PruningContext:
    """A layer of one unit with four inputs, after training from `_START`."""
    network = nn.Linear(4, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([trained]))
    start = {"weight": torch.tensor([_START]), "bias": torch.zeros(1)}
    masks = {"weight": torch.tensor([kept])}
    task = random_task(examples=15, pixels=4)
    return PruningContext(network, start, masks, task, key, 4, diverged=diverged)


def _scores(criterion: str, key: RandomKey = _KEY, trained: list[float] = _TRAINED) -> Tensor:
    (found,) = score(criterion, _context(trained, key)).values()
    assert found.shape == (1, 4)
    return found.flatten()


def test_each_built_in_criterion_is_a_file() -> None:
    assert (*CRITERIA,) == BUILT_IN["criterion"]
    assert {"magnitude", "magnitude_increase", "movement", "random"} <= {*CRITERIA}


@pytest.mark.parametrize(
    ("criterion", "scores", "half"),
    [
        ("magnitude", [1.5, 1.0, 3.0, 2.0], [False, False, True, True]),
        ("magnitude_increase", [0.5, -1.0, 0.0, 1.5], [True, False, False, True]),
        ("movement", [0.5, 1.0, 0.0, 1.5], [False, True, False, True]),
        ("small_final", [-1.5, -1.0, -3.0, -2.0], [True, True, False, False]),
        ("large_init", [1.0, 2.0, 3.0, 0.5], [False, True, True, False]),
        ("small_init", [-1.0, -2.0, -3.0, -0.5], [True, False, False, True]),
        # shares of the four that are smaller: of |start| 1/4, 2/4, 3/4, 0; of |trained| 1/4, 0,
        # 3/4, 2/4
        ("large_init_large_final", [0.25, 0.0, 0.75, 0.0], [True, False, True, False]),
        # that are larger: 2/4, 1/4, 0, 3/4; 2/4, 3/4, 0, 1/4
        ("small_init_small_final", [0.5, 0.25, 0.0, 0.25], [True, False, False, True]),
    ],
)
def test_criteria_on_four_weights(criterion: str, scores: list[float], half: list[bool]) -> None:
    found = _scores(criterion)
    assert found.tolist() == scores
    assert keep_highest(found, torch.ones(4, dtype=torch.bool), 2).tolist() == half


@pytest.mark.parametrize(
    ("criterion", "order", "scores"),
    [
        # 1 -> 1.5, -2 -> 1, 3 -> -3, -0.5 -> -2: the second and the third change their sign
        ("large_final_same_sign", [{1, 2}, {0}, {3}], [1.5, 0, 0, 2]),
        ("large_final_diff_sign", [{0, 3}, {1}, {2}], [0, 1, 3, 0]),
        ("magnitude_increase_same_sign", [{1, 2}, {0}, {3}], [0.5, 0, 0, 1.5]),
        ("magnitude_increase_diff_sign", [{1}, {0, 3}, {2}], [0, -1, 0, 0]),
    ],
)
def test_weights_of_the_other_sign_count_as_zero_and_chance_decides_among_them(
    criterion: str, order: list[set[int]], scores: list[float]
) -> None:
    orders = set()
    for k in range(20):
        found = _scores(criterion, RandomKey((k,)), [1.5, 1.0, -3.0, -2.0])
        assert found.float().tolist() == scores
        ranked = found.sort().indices.tolist()
        orders.add(tuple(ranked))
        for place in order:
            assert {ranked.pop(0) for _ in place} == place
    assert len(orders) == 2


def test_the_random_criterion_depends_on_the_key_alone_and_favours_no_weight() -> None:
    same = _scores("random", RandomKey((1,)))
    assert torch.equal(_scores("random", RandomKey((1,)), _START), same)
    # its draws, which identities of results hold
    assert same.tolist() == RandomKey((1, "weight")).generator().random(4).tolist()
    all_four = torch.ones(4, dtype=torch.bool)
    kept = torch.stack(
        [keep_highest(_scores("random", RandomKey((k,))), all_four, 1) for k in range(2000)]
    )
    # each weight is the one kept with probability 1/4: 500 times, standard deviation 19
    assert (kept.sum(0) - 500).abs().max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


# ------------------------------------------------------------------ what a criterion sees


def test_batches_are_the_whole_split_once_scaled_in_an_order_of_the_keys() -> None:
    context = _context()
    task = context.task
    inputs, labels = (torch.cat(part) for part in zip(*context.batches(), strict=True))
    assert [len(labels) for _, labels in context.batches()] == [4, 4, 2]
    order = RandomKey((0, "batches")).generator().permutation(10)
    assert torch.equal(inputs, task.train_inputs[order].float())
    assert torch.equal(labels, task.train_labels[order])
    other = torch.cat([labels for _, labels in _context(key=RandomKey((1,))).batches()])
    assert sorted(other.tolist()) == sorted(labels.tolist())
    assert not torch.equal(other, labels)
    whole = PruningContext(context.network, {}, {}, task, _KEY, 4, drop_last=True).batches()
    assert [len(labels) for _, labels in whole] == [4, 4]


_GREEDY = """
import torch
from raylot import plugins

@plugins.criterion("greedy", gradients=True)
def greedy(context):
    scores = {name: torch.rand(mask.shape) for name, mask in context.masks.items()}
    tensors = [*context.start.values(), *context.masks.values(), context.task.train_inputs]
    for tensor in [*tensors, *context.gradients.magnitudes.values()]:
        tensor.zero_()
    return scores
"""


def _load(folder: Path, source: str) -> None:
    file = folder / "mine.py"
    file.write_text(source)
    plugins.load(file)


def test_what_a_plugins_criterion_writes_reaches_nothing_and_its_key_decides_its_draws(
    tmp_path: Path,
) -> None:
    _load(tmp_path, _GREEDY)
    measured = MeanGradients({"weight": torch.ones(1, 4)}, {"weight": torch.ones(1, 4)})
    plain = _context()
    context = PruningContext(
        plain.network, plain.start, plain.masks, plain.task, _KEY, 4, measured=measured
    )
    before, state = random_task(examples=15, pixels=4), torch.get_rng_state()
    one, again = score("greedy", context)["weight"], score("greedy", context)["weight"]
    assert torch.equal(one, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert context.start["weight"].tolist() == [_START]
    assert bool(context.masks["weight"].all())
    assert torch.equal(context.task.train_inputs, before.train_inputs)
    assert bool((measured.magnitudes["weight"] == 1).all())


# ------------------------------------------------------------------ what is refused


_NAMES = "criterion mine: must return scores by the names weight; "


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "criterion mine: must return a dict, not a NoneType"),
        ("{}", f"{_NAMES}weight is missing"),
        ("{'weight': torch.ones(1, 4), 'bias': torch.ones(1)}", f"{_NAMES}bias is another one"),
        ("{'weight': [1.0, 2.0, 3.0, 4.0]}",
         "criterion mine: must return a tensor of floats for weight, not list"),
        ("{'weight': torch.ones(1, 4).long()}",
         "criterion mine: must return a tensor of floats for weight, not torch.int64"),
        ("{'weight': torch.ones(4)}",
         "criterion mine: must return scores of weight in its shape (1, 4), not (4,)"),
        ("{'weight': torch.tensor([[1, float('nan'), float('inf'), float('nan')]])}",
         "criterion mine: must return finite scores; 2 survivors of weight have others"),
        ("context.gradients.products",
         "context.gradients: must be asked for, as @plugins.criterion(NAME, gradients=True)"),
    ],
)  # fmt: skip
def test_wrong_scores_are_told_in_one_line(returned: str, message: str, tmp_path: Path) -> None:
    source = "import torch\nfrom raylot import plugins\n"
    _load(tmp_path, f"{source}plugins.criterion('mine')(lambda context: {returned})\n")
    with pytest.raises((OptionError, TypeError)) as caught:
        score("mine", _context(kept=(True, True, True, False)))
    assert str(caught.value) == message


def test_scores_of_pruned_weights_and_after_a_divergence_need_not_be_finite(tmp_path: Path) -> None:
    source = "from raylot import plugins\nplugins.criterion('mine')(lambda context: {})\n"
    _load(tmp_path, source.replace("{}", "{n: w.log() for n, w in context.weights.items()}"))
    found = score("mine", _context([1, 2, 3, -1], kept=(True, True, True, False)))["weight"]
    assert found[0, :3].tolist() == torch.tensor([1.0, 2.0, 3.0]).log().tolist()
    nan = math.nan
    assert bool(score("mine", _context([nan] * 4, diverged=True))["weight"].isnan().all())
    with pytest.raises(OptionError, match="finite scores; 4 survivors"):
        score("mine", _context([nan] * 4))
