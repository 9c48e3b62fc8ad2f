"""Methods on permuted MNIST of 10,000 images (Kumar et al. 2023, arXiv 2308.11958).

Published: two hidden layers of 100 units, Adam, batches of 16, 500 tasks of 10,000 images that are
seen once, ten seeds; for each method the step size (1e-3 or 1e-4) and the method's own parameters
that gave the best accuracy on three other seeds. On this problem regularisation towards the initial
parameters (L2 Init), and as well towards the origin (L2), keeps plasticity; Adam alone loses it;
layer normalisation keeps some; shrink and perturb is "consistently lower" than L2 Init (section 5.1
and figure 1, whose curves are not given as numbers).

Here: step size 1e-3; the strengths of L2, L2 Init and shrink and perturb that end best on the same
seeds, among three and two of the published ones; 60 tasks; the same 10,000 images in all tasks,
where the authors draw others for each.
"""

from __future__ import annotations

from collections.abc import Callable

from raylot.reproductions._experiment import Experiment, Reading, above, below
from raylot.reproductions._readings import along_stream, best_of, minus

_TEXT = "section 5.1 and figure 1"

#: Half of the published strengths, as the authors' code has a factor of 1/2.
_STRENGTHS = (5e-3, 5e-4, 5e-5)
#: (1 - s, p) of s = p = 1e-3 and 1e-4, in every step.
_SHRINKS = ((0.999, 1e-3), (0.9999, 1e-4))

_ROWS = (
    "(none,none,-,-,-)",
    "(none,layer,-,-,-)",
    *(f"({name},none,{s},-,-)" for name in ("l2", "l2_init") for s in _STRENGTHS),
    *(f"(shrink_and_perturb,none,-,{shrink},{perturb})" for shrink, perturb in _SHRINKS),
)


def _late(**options: object) -> Reading:
    return along_stream("online_accuracy", None, **options)


def _change(**options: object) -> Reading:
    """The last tenth of the tasks minus the second to the sixth."""
    return minus(_late(**options), along_stream("online_accuracy", range(1, 6), **options))


def _best(intervention: str, reading: Callable[..., Reading] = _late) -> Reading:
    """A quantity at the strength with the highest accuracy in the last tenth of the tasks."""
    given = [{"intervention": intervention, "l2_strength": s} for s in _STRENGTHS]
    return best_of([reading(**one) for one in given], by=[_late(**one) for one in given])


_ADAM = {"intervention": "none", "norm": "none"}

EXPERIMENT = Experiment(
    question="Which methods keep plasticity on permuted MNIST of 10,000 images?",
    source=(
        "Kumar et al. 2023, Maintaining plasticity in continual learning via regenerative "
        "regularization, arXiv 2308.11958"
    ),
    options={
        "dataset": "mnist",
        "train_examples": 10_000,
        "scaling": "unit",
        "shifts": "permuted_pixels",
        "first_task_identity": True,
        "search": f"zip(intervention,norm,l2_strength,shrink,perturb)={','.join(_ROWS)}",
        "perturb_every": "step",
        "hidden": "100,100",
        "lr": 1e-3,
        "batch_size": 16,
        "epochs": 1,
        "carry_optimizer": True,
        "tasks": 60,
        "snapshots": "0",
        "probe_tasks": 0,
        "seeds": "0-2",
    },
    full={"tasks": 500, "seeds": "3-12"},
    reduced="60 tasks and 3 seeds instead of 500 and 10",
    otherwise=(
        "one step size; three strengths of L2 and L2 Init and two of shrink and perturb, chosen on "
        "the same seeds; the same 10,000 images in all tasks"
    ),
    measured="about 10 core-minutes on an AMD EPYC, at 0.1 to 1.6 ms per step",
    published=(
        below("change of Adam's online accuracy along the stream", _change(**_ADAM), _TEXT),
        above(
            "L2 Init minus Adam alone, at the end of the stream",
            minus(_best("l2_init"), _late(**_ADAM)),
            _TEXT,
        ),
        above(
            "L2 minus Adam alone, at the end of the stream",
            minus(_best("l2"), _late(**_ADAM)),
            _TEXT,
        ),
        above(
            "change of L2 Init's online accuracy along the stream",
            _best("l2_init", _change),
            f"it keeps plasticity; {_TEXT}",
        ),
        above(
            "L2 Init minus layer normalisation, at the end of the stream",
            minus(_best("l2_init"), _late(intervention="none", norm="layer")),
            f"layer normalisation keeps only some plasticity; {_TEXT}",
        ),
        above(
            "L2 Init minus shrink and perturb, at the end of the stream",
            minus(
                _best("l2_init"),
                best_of([_late(intervention="shrink_and_perturb", shrink=s) for s, _ in _SHRINKS]),
            ),
            f"consistently lower; {_TEXT}",
        ),
    ),
)
