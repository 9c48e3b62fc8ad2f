"""What a study searches: how it is read, which draws are made, and which points there are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylot.config import Study
from raylot.config.distributions import Distribution
from raylot.config.search_axes import parse_search, points
from raylot.sweep.space import points as space_points
from raylot.sweep.space import study_spaces
from tests.unit.config.refused import refusal

DRAWN = "loguniform(1e-6,1e-2)"


@pytest.mark.parametrize(
    ("value", "searched"),
    [
        ("shrink=0.8,0.9", {"shrink": ["0.8", "0.9"]}),
        ("shrink=0.8 0.9 perturb=1", {"shrink": ["0.8", "0.9"], "perturb": ["1"]}),
        ("shrink=0.8,perturb=1,2", {"shrink": ["0.8"], "perturb": ["1", "2"]}),
        (" perturb-every=task", {"perturb_every": ["task"]}),
        ("shrink=", {"shrink": []}),
        (
            {"perturb-every": "task,step", "shrink": 0.8},
            {"perturb_every": ["task", "step"], "shrink": [0.8]},
        ),
        ({"period": range(2), "shrink": None}, {"period": [0, 1], "shrink": [None]}),
        ("lr=grid(1e-3, 3e-3)", {"lr": ["1e-3", "3e-3"]}),
        ("hidden=(100,100),64", {"hidden": [("100", "100"), "64"]}),
        ({"hidden": ["(100,100)", 64]}, {"hidden": [("100", "100"), 64]}),
        (
            "zip(lr, batch-size)=(1e-3,32),(3e-3 128) epochs=2",
            {"zip(lr,batch_size)": [("1e-3", "32"), ("3e-3", "128")], "epochs": ["2"]},
        ),
        ({"zip(lr,hidden)": [[1, [2, 2]]]}, {"zip(lr,hidden)": [[1, [2, 2]]]}),
        ("lr=loguniform(1e-4, 1e-2)", {"lr": Distribution("loguniform", ("1e-4", "1e-2"))}),
        ({"lr": "uniform(0,1)"}, {"lr": Distribution("uniform", ("0", "1"))}),
        (None, None),
        (["shrink=0.8"], ["shrink=0.8"]),
    ],
)
def test_searched_values(value: Any, searched: Any) -> None:
    assert parse_search(value) == searched


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "shrink", "=0.8", "0.8 shrink=0.9", "shrink=0.8 shrink=0.9", {},
        {"perturb-every": "task", "perturb_every": "step"}, "lr=uniform(1,2", "lr=1)", "lr=)(",
        "lr=a(1),b(2)", "lr=((((1))))", "zip(lr,lr)=(1,2)", "lr=1 zip(lr,epochs)=(1,2)",
    ],
)  # fmt: skip
def test_what_is_no_search_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the model says what is accepted
        parse_search(value)


# ------------------------------------------------------------------ what cannot be searched


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"search": "lr=lognormal(0,1)"}, "search=lr=lognormal(0,1): must be values, grid(...) or"),
        ({"search": "lr=loguniform(1e-2,1e-4)", "samples": 2},
         "search=lr=loguniform(1e-2,1e-4): must have low < high in loguniform(low,high)"),
        ({"search": "lr=uniform(0,1)", "samples": 2},
         "search=lr=uniform(0,1): draws lr=0: must be a number in (0, 100]"),
        ({"search": "momentum=uniform(0,1)", "samples": 2},
         "search=momentum=uniform(0,1): draws momentum=1: must be a number in [0, 1)"),
        ({"search": "epochs=uniform(2,9)", "samples": 2}, "search=epochs=uniform(2,9): draws "),
        ({"search": "scope=choice(layer,none)", "samples": 2},
         "search=scope=choice(layer,none): draws scope=none: must be one of layer, global"),
        ({"search": f"lr={DRAWN}"},
         "search=lr=loguniform(1e-06,0.01): must go with samples, as samples=20"),
        ({"search": "lr=1e-3,1e-2", "samples": 20},
         "samples=20: must go with a distribution in search, as loguniform(1e-4,1e-2) for lr"),
        ({"samples": 20}, "samples=20: must go with a distribution in search"),
        ({"samples": 0}, "samples=0: must be a whole number in [1, 10000]"),
        ({"search": "zip(lr,epochs)=(1e-3,2),(3e-3)"},
         "search=zip(lr,epochs)=(1e-3,2),(3e-3): must be rows of 2 values, one of each option"),
        ({"search": "zip(lr,epochs)=uniform(1,2)"},
         "search=zip(lr,epochs)=uniform(1,2): must be rows of 2 values"),
        ({"search": "zip(lr,epochs)=(1e-3,2),(0.001,2)"},
         "search=zip(lr,epochs)=(1e-3,2),(0.001,2): must be one or more values, each once"),
        ({"search": "intervention=none,l2"},
         "search=intervention=none,l2: must be given as an option of its own, interventions, or "
         "within zip"),
        ({"search": "zip(intervention,lr)=(none,1),(l2,2)", "interventions": "none"},
         "search=zip(intervention,lr)=(none,1.0),(l2,2.0): must be given without interventions="),
        ({"search": "zip(intervention,lr)=(none,1),(l3,2)"}, "search=intervention=l3: must be one"),
        ({"search": "zip(intervention,l2_strength)=(l2,-)"}, "search=l2_strength=-: must be a num"),
        ({"search": "zip(intervention,l2_strength)=(none,-)"},
         "search=zip(intervention,l2_strength)=(none,0.0001): must go with intervention l2 or l2_"),
        ({"search": "zip(lr)=(1)"}, "search=zip(lr)=(1): zip must have two or more options"),
        ({"search": "zip(lr,epochs)=(1e-3,0)"}, "search=epochs=0: must be a whole number in [1,"),
        ({"search": "zip(lr,criterion)=(1e-3,random)"},
         "search=zip(lr,criterion)=(0.001,random): must have values of its own, as criterion"),
        ({"search": f"lr={DRAWN} rewind_steps=randint(0,9)", "samples": 2},
         "search=rewind_steps=randint(0,9): must have values of its own, as rewind_steps decides"),
        ({"search": "seeds=0,1"}, "search=seeds=0,1: must be given as an option of its own, seeds"),
        ({"search": "shift=noise"}, "search=shift=noise: must be given as an option of its own"),
        ({"search": "learning_rate=1"},
         "search=learning_rate=1: must be an option that decides how networks are trained or"),
        ({"search": "epoch=1"},
         "search=epoch=1: must be an option that decides how networks are trained or tickets "
         "searched; did you mean epochs?"),
        ({"search": "tasks=5"}, "search=tasks=5: must be an option that decides how networks are"),
        ({"search": "storage=a,b"}, "search=storage=a,b: must be an option that decides how"),
        ({"search": "lr=1e-3,1e-2", "lr": 1e-2}, "search=lr=0.001,0.01: must be given without lr"),
        ({"search": "width=8"}, "search=width=8: must go with network resnet or vgg"),
        ({"search": "momentum=0.9"}, "search=momentum=0.9: must go with optimizer sgd"),
        ({"search": "network=mlp,lenett"}, "search=network=lenett: must be one of conv2, "),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused(values: dict[str, Any], message: str) -> None:
    assert refusal(lambda: Study.checked(**values)).startswith(message)


# ------------------------------------------------------------------ draws


@settings(max_examples=25)
@given(fewer=st.integers(1, 12), more=st.integers(0, 12), seed=st.integers(0, 2**63 - 1))
def test_more_samples_only_add(fewer: int, more: int, seed: int) -> None:
    """To the draws of each option, and so to the runs of the study."""
    search = f"lr={DRAWN} batch_size=choice(16,32) epochs=1,2"

    def runs(samples: int) -> list[str]:
        study = Study.checked(search=search, samples=samples, search_seed=seed)
        assert len(study.searched["zip(lr,batch_size)"]) == samples
        return [
            study.stream_run(**point).run_id
            for point in points({"shift": ("noise",), **study.searched}, {})
        ]

    first, all_of_them = runs(fewer), runs(fewer + more)
    assert {*first} <= {*all_of_them}
    assert len({*all_of_them}) == 2 * (fewer + more)


def test_a_draw_depends_on_its_option_and_number_alone() -> None:
    alone = Study.checked(search=f"lr={DRAWN}", samples=5).searched["lr"]
    both = Study.checked(search=f"weight_decay={DRAWN} lr={DRAWN}", samples=5).searched
    assert tuple(lr for _, lr in both["zip(weight_decay,lr)"]) == alone
    assert {decay for decay, _ in both["zip(weight_decay,lr)"]}.isdisjoint(alone)
    other = Study.checked(search=f"lr={DRAWN}", samples=5, search_seed=1).searched["lr"]
    assert len({*alone, *other}) == 10


def test_values_that_are_drawn_again_are_one() -> None:
    study = Study.checked(search="batch_size=choice(16,32)", samples=50)
    assert sorted(study.searched["batch_size"]) == [16, 32]


def test_runs_do_not_tell_whether_a_value_was_searched() -> None:
    study = Study.checked(
        search=f"lr={DRAWN} zip(epochs,batch_size)=(2,16),(3,64) hidden=(8,8),9 criterion=random",
        samples=2,
    )
    point = list(points(study.searched, {"seed": 3, "shift": "noise", "task": 10}))[-1]
    given = {name: value for name, value in point.items() if name not in ("seed", "shift", "task")}
    plain = Study.checked(**given)
    where = {"seed": 3, "shift": "noise", "task": 10, "sparsity": 0.8}
    assert study.tickets_run(**where, **given).run_id == plain.tickets_run(**where).run_id


def test_probe_tasks_do_not_depend_on_how_many_samples_are_drawn() -> None:
    """They have the fewest classes that could be drawn."""
    for samples in (1, 2, 9):
        study = Study.checked(
            shifts="class_split", search="classes_per_task=randint(3,10)", samples=samples
        )
        assert study.probe_classes == 3
    rows = Study.checked(shifts="class_split", search="zip(lr,classes_per_task)=(1e-3,5),(1e-2,4)")
    assert rows.probe_classes == 4


# ------------------------------------------------------------------ interventions with own values

TUNED = "zip(intervention,lr,l2_strength,shrink)=(none,1e-3,-,-),(l2,3e-3,1e-5,-),(reset,1e-2,-,-)"


def test_interventions_can_have_values_of_their_own() -> None:
    study = Study.checked(search=f"{TUNED},(shrink_and_perturb,2,-,0.9)", shifts="noise", seeds=0)
    assert study.interventions == ("none", "l2", "reset", "shrink_and_perturb")
    streams, _, _ = study_spaces(study)
    own = {"shift": "noise", "seed": 0}
    assert list(space_points(streams)) == [
        {"intervention": "none", "lr": 1e-3, **own},
        {"intervention": "l2", "lr": 3e-3, "l2_strength": 1e-5, **own},
        {"intervention": "reset", "lr": 1e-2, **own},
        {"intervention": "shrink_and_perturb", "lr": 2.0, "shrink": 0.9, **own},
    ]


# ------------------------------------------------------------------ points


def test_rows_that_differ_in_unused_parameters_are_one_point() -> None:
    axes = {
        "intervention": ("none", "l2", "shrink_and_perturb"),
        "zip(l2_strength,shrink,perturb)": ((1, 2, 3), (1, 2, 4), (5, 2, 3)),
    }
    found = list(points(axes, {}))
    assert [point for point in found if point["intervention"] == "none"] == [
        {"intervention": "none"}
    ]
    assert [p["l2_strength"] for p in found if p["intervention"] == "l2"] == [1, 5]
    both = [(p["shrink"], p["perturb"]) for p in found if p["intervention"] == "shrink_and_perturb"]
    assert both == [(2, 3), (2, 4)]


def test_parameters_go_with_what_is_searched_beside_them() -> None:
    """Momentum is SGD's alone, and width that of networks with stages."""
    study = Study.checked(search="optimizer=adam,sgd momentum=0.5,0.9 network=mlp,vgg width=4,8")
    found = list(points(study.searched, {}))
    assert len(found) == (1 + 2) * (1 + 2)
    assert all(("momentum" in point) == (point["optimizer"] == "sgd") for point in found)
    assert len({study.stream_run(**point).run_id for point in found}) == len(found)


def test_parameters_of_schedules_and_augmentations_go_with_them() -> None:
    study = Study.checked(
        search="schedule=constant,cosine,step warmup=0,0.1 step_at=0.5,(0.3,0.6) "
        "augment=none,flip,crop crop_padding=1,2"
    )
    found = list(points(study.searched, {}))
    assert len(found) == 2 * (1 + 1 + 2) * (1 + 1 + 2)
    assert {point.get("step_at") for point in found} == {None, (0.5,), (0.3, 0.6)}
    assert all(("step_at" in point) == (point["schedule"] == "step") for point in found)
    assert all(("crop_padding" in point) == (point["augment"] == "crop") for point in found)
    assert len({study.stream_run(**point).run_id for point in found}) == len(found)
