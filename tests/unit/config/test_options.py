"""How values are read from text, what is said of wrong ones, and identities."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field

from raylot.config import MeasurementRun, Study, TicketsRun, TicketStreamRun
from raylot.config.options import (
    Options,
    accepted,
    option,
    parse_integers,
    parse_list,
    parse_rounds,
    role_of,
)
from raylot.foundation.errors import OptionError

one_line_breaks = st.sampled_from(["\n", "\r", "\v", "\f", "\x85", "\u2028"])


class Sample(Options):
    """One option of each kind."""

    count: int = option(3, "a count", ge=1, le=10, role="training")
    share: float = option(0.5, "a share", ge=0, lt=1, role="training")
    rate: float = option(1.0, "a rate", gt=0, role="training")
    kind: Literal["one", "two"] = option("one", "a kind", role="training")
    flag: bool = option(False, "a flag", role="training")
    text: str = option("x", "a text", role="where")
    numbers: Annotated[tuple[int, ...], BeforeValidator(parse_integers), Field(min_length=1)] = (
        option("0-2", "numbers", accepts="whole numbers, as 0-2", role="training")
    )


# ------------------------------------------------------------------ reading text


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0-3,10,20-40:10", [0, 1, 2, 3, 10, 20, 30, 40]),
        ("0-3, 10,  20-40:10 ,", [0, 1, 2, 3, 10, 20, 30, 40]),
        ("7", [7]),
        ("5-5", [5]),
        ("0-9:4", [0, 4, 8]),
        ("3,1,1", [3, 1, 1]),
        ("", []),
        (7, [7]),
    ],
)
def test_integers(text: str | int, numbers: list[int]) -> None:
    assert parse_integers(text) == numbers


@pytest.mark.parametrize("value", [[1, 2], (3,), None, 1.5, True, {"a": 1}])
def test_integers_leave_other_values_to_the_model(value: Any) -> None:
    assert parse_integers(value) is value


@pytest.mark.parametrize(
    "text",
    [
        "x", "1-", "-1", "1-2-3", "1:2", "0-5:0", "0-5:x", "1.5", "0-100000", "0-" + "9" * 30,
        "0:-", "5-3", "1,5-3", "1_0", "+1", "\u0663", "0-5:",
    ],
)  # fmt: skip
def test_what_is_no_list_of_integers_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the model says what is accepted
        parse_integers(text)


@given(st.integers(0, 10**9), st.integers(0, 1000), st.integers(1, 50))
def test_a_range_is_what_python_calls_one(first: int, length: int, step: int) -> None:
    last = first + length
    assert parse_integers(f"{first}-{last}:{step}") == list(range(first, last + 1, step))


@given(st.lists(st.integers(0, 10**9)))
def test_a_written_list_is_read_back(numbers: list[int]) -> None:
    assert parse_integers(",".join(map(str, numbers))) == numbers
    assert parse_integers(" ".join(map(str, numbers))) == numbers


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0.8,0.9", ["0.8", "0.9"]),
        ("0.8 0.9", ["0.8", "0.9"]),
        ("", []),
        (0.8, [0.8]),
        (1, [1]),
        ([0.8, 0.9], [0.8, 0.9]),
        (None, None),
    ],
)
def test_lists(value: Any, words: Any) -> None:
    assert parse_list(value) == words


@pytest.mark.parametrize(
    ("text", "rounds"),
    [
        ("3", 3),
        ("auto", None),
        ("0.8:3,0.9:5", {0.8: 3, 0.9: 5}),
        ({"0.8": 3, 0.9: 5}, {0.8: 3, 0.9: 5}),
        (3, 3),
        (None, None),
    ],
)
def test_rounds(text: Any, rounds: Any) -> None:
    assert parse_rounds(text) == rounds


@pytest.mark.parametrize(
    "text", ["", "x", "1.5", "1_0", "\u0663", "0.8:3:4", "0.8:3,0.9", ":", "0.8:x", "x:3"]
)
def test_what_is_no_rounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the model says what is accepted
        parse_rounds(text)


# ------------------------------------------------------------------ what is said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("count", "a whole number in [1, 10]"),
        ("share", "a number in [0, 1)"),
        ("rate", "a number in (0, inf)"),
        ("kind", "one of one, two"),
        ("flag", "true or false"),
        ("text", "a text"),
        ("numbers", "whole numbers, as 0-2"),
    ],
)
def test_accepted_in_words(name: str, words: str) -> None:
    assert accepted(Sample.model_fields[name]) == words


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count=0: must be a whole number in [1, 10]"),
        ({"share": float("nan")}, "share=nan: must be a number in [0, 1)"),
        ({"kind": "three"}, "kind=three: must be one of one, two"),
        ({"flag": "perhaps"}, "flag=perhaps: must be true or false"),
        ({"numbers": "1-x"}, "numbers=1-x: must be whole numbers, as 0-2"),
        ({"numbers": [1, True]}, "numbers=[1, True]: must be whole numbers, as 0-2"),
        ({"numbers": {3: True}}, "numbers={3: True}: must be whole numbers, as 0-2"),
        ({"count": True}, "count=True: must be a whole number in [1, 10]"),
        ({"count": "1" * 300}, f"count={'1' * 200}...: must be a whole number in [1, 10]"),
        (
            {"count": ["x"] * 50},
            "count=[" + "'x', " * 20 + "...]: must be a whole number in [1, 10]",
        ),
        ({"cuont": 3}, "cuont=3: unknown option; did you mean count?"),
        (
            {"zzzz": 3},
            "zzzz=3: unknown option; accepted: count, flag, kind, numbers, rate, share, text",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Sample.checked(**values)
    assert str(caught.value) == message


@given(st.sampled_from(["count", "kind", "numbers", "zzzz"]), one_line_breaks)
def test_a_value_with_line_breaks_is_told_in_one_line(name: str, line_break: str) -> None:
    with pytest.raises(OptionError) as caught:
        Sample.checked(**{name: f"a{line_break}b"})
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{name}=")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\ud800", "\t"])
def test_what_could_steer_a_terminal_is_escaped(character: str) -> None:
    assert str(OptionError(f"a{character}b é")) == f"a{ascii(character)[1:-1]}b é"


def test_a_message_is_no_longer_than_a_screen() -> None:
    message = str(OptionError("name=" + "a" * 10_000 + ": must be short"))
    assert len(message) == 2500 + len(" ... ")
    assert message.startswith("name=aaa")
    assert message.endswith("aaa: must be short")


def test_options_cannot_be_changed_later() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sample().count = 4  # type: ignore[misc]


# ------------------------------------------------------------------ identity


class Before(Options):
    """Options as they were."""

    count: int = option(3, "a count", role="training")


class Grown(Before):
    """The same, and options that came later and do nothing unless they are given."""

    noise: float = option(0.0, "later", off=0.0, role="training")
    method: str = option("none", "later", off="none", role="training")
    extra: int | None = option(None, "later", off=None, role="training")
    layers: tuple[int, ...] = option((), "later", off=(), role="training")
    place: str = option("here", "later", role="where")


def test_an_option_that_is_off_leaves_the_identity_alone() -> None:
    assert Grown(place="there").identity() == Before().identity() == {"count": 3}


@pytest.mark.parametrize(
    ("name", "value"),
    [("noise", 0.1), ("method", "some"), ("extra", 0), ("layers", [1, 2]), ("count", 4)],
)
def test_an_option_that_is_on_belongs_to_the_identity(name: str, value: Any) -> None:
    assert Grown(**{name: value}).identity() == {"count": 3, name: value}


def test_identity_holds_json_values() -> None:
    assert Sample().identity() == {
        "count": 3,
        "share": 0.5,
        "rate": 1.0,
        "kind": "one",
        "flag": False,
        "numbers": [0, 1, 2],
    }


# ------------------------------------------------------------------ roles

ROLES = {
    "training": """
        dataset train_examples scaling image_size emnist_split data_digest shift shifts fraction
        compounding first_task_identity rotation_range classes_per_task new_classes_only warm_share
        warm_tasks noisy_share noisy_tasks flipping_bits flips noise_step
        period gradual intervention interventions l2_strength
        l1_strength huber_strength wasserstein_strength clip_factor
        parseval_strength parseval_scale spectral_strength spectral_exponent churn_share
        shrink perturb perturb_every perturb_with gradient_noise utility_decay protect
        dash_rate dash_shrink tortoise_decay hare_interval reset_layers inject_after
        redo_threshold redo_interval redo_examples cbp_rate cbp_maturity cbp_decay
        cbp_utility snr_quantile snr_every snr_max_age
        network hidden width width_scale patch_size vit_depth vit_heads vit_dimension norm
        activation initialisation optimizer lr momentum
        nesterov weight_decay schedule warmup step_factor step_at augment crop_padding
        label_smoothing clip_norm precision epochs batch_size drop_last carry_optimizer
        head_reset seed seeds
        search search_seed plugins plugin_options versions""",
    "extent": """
        tasks snapshots tickets untrained_masks random_masks rewired_masks reinit_tickets
        supermasks ticket_tasks ticket_snapshots subnetworks stream_sparsities stream_snapshots
        probe_tasks retraining_pairs ticket_pairs samples until_width max_seeds seeds_per_step""",
    "search": """
        search_task sparsity sparsities rounds scope masked criterion rewind_steps output_rate
        random_density task subnetwork ticket examples_per_class
        edge_popup_lr edge_popup_momentum early_bird early_bird_epochs""",
    "measurement": """
        measured probe_shift probe_classes metrics probe_size dormant_threshold ntk_examples
        sharpness_iterations measures duplicate_cosine saturation_threshold churn_batches
        sample_plasticity_examples hessian_iterations hessian_starts hessian_threshold
        trace_ntk_examples barrier_points
        plastic_task plastic_scaling plastic_density""",
    "verdict": "tolerance",
    "where": """
        data_root data_file download device engine storage name address local cpus_per_trial
        gpus_per_trial max_concurrent max_failures save_interval storage_patience node_patience
        logger note fail_fast share""",
}


@pytest.mark.parametrize("model", [Study, TicketStreamRun, MeasurementRun])
def test_the_role_of_every_option_is_pinned(model: type[Options]) -> None:
    pinned = {name: role for role, names in ROLES.items() for name in names.split()}
    found = {name: role_of(field) for name, field in model.model_fields.items()}
    assert found == {name: pinned[name] for name in found}
    models = (Study, TicketStreamRun, MeasurementRun)
    declared = {name for one in models for name in one.model_fields}
    assert declared == {*pinned}


def test_only_where_a_run_is_computed_is_no_part_of_its_identity() -> None:
    changed: dict[str, Any] = {
        "tasks": 32, "snapshots": (0, 10), "tickets": 5, "tolerance": 0.02, "lr": 0.1
    }  # fmt: skip
    for name, value in changed.items():
        assert TicketsRun(**{name: value}).identity() != TicketsRun().identity()
    assert MeasurementRun(probe_size=100).identity() != MeasurementRun().identity()
    for name, value in {
        "device": "cpu",
        "engine": "generic",
        "data_root": "/data",
        "note": "a",
    }.items():
        assert TicketsRun(**{name: value}).identity() == TicketsRun().identity()
