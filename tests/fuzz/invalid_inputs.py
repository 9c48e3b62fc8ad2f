"""Invalid configurations and command lines, each wrong by construction.

What is wrong for an option follows from the option's own type and limits, so that a new option is
covered without a word here. Only what contradicts something else is listed by name.
"""

from __future__ import annotations

import math
import random
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic.fields import FieldInfo

from raylot.config import MeasurementRun, RetrainingRun, Study, TicketBarrierRun, TicketsRun
from raylot.config.options import accepted, named_by

#: Options of the command line that do not belong to the study.
_FLAGS = ("preset", "config", "plugin", "dry_run", "retry_failed", "on_end", "help", "help_all")

#: Texts that are no number, choice, truth value or list of these.
_JUNK = (
    "", " ", "?", ",", ":", "-", "--", "nan", "inf", "-inf", "1e999", "-1e999", "0x10", "0b1", "1e",
    "½", "\u0663", "\uff11\uff12", "1__0", "1:2", "3-1", "0.1-0.5", "1-2-3", "0-5:0", "0-",
    "0-99999999999", "0-" + "9" * 30, "2001-02-03", "12:30:00", "null", "None", "[1]", "{}", "()",
    "§", "ten", "\x00", "\x1b[2J", "a\nb", "a\rb", "a\u2028b", "\u202e1", "\ufeff1", "\udcff",
    "$(touch harm)", "%s%n", "../..", "\U0001f3b2", "9" * 5000, "x" * 5000,
)  # fmt: skip

#: What an option may be misspelt with.
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Invalid:
    """A command line that must be refused.

    Attributes:
        kind: what is wrong.
        arguments: without the program; ``{file}`` stands for the configuration file.
        file: what is in the configuration file; None: there is none.
        begins: with one of these the message must begin, if there are any; ``{file}`` as above.
    """

    kind: str
    arguments: tuple[str, ...]
    file: bytes | None = None
    begins: tuple[str, ...] = field(default=(), compare=False)

    @property
    def about(self) -> tuple[str, ...]:
        """The kind, and the option that is wrong: what a sample must hold one case of."""
        return (self.kind, *self.begins[:1])


# ------------------------------------------------------------------ what an option's type says


@dataclass
class Accepted:
    """What an option's type and limits accept."""

    kinds: set[type]
    choices: list[str]
    limits: list[Any]

    @property
    def is_text(self) -> bool:
        """Whether about any text will do."""
        return bool(self.kinds & {str, Path})

    @property
    def is_bool(self) -> bool:
        return bool in self.kinds

    @property
    def is_number(self) -> bool:
        return bool(self.kinds & {int, float})

    @property
    def is_list(self) -> bool:
        return tuple in self.kinds


def accepted_by(option: FieldInfo) -> Accepted:
    """Reads an option's annotation, through unions, lists and the limits of their elements."""
    found = Accepted(set(), [], list(option.metadata))

    def walk(annotation: Any) -> None:
        origin = get_origin(annotation)
        if origin is Annotated:
            inner, *extras = get_args(annotation)
            for extra in extras:
                found.limits += extra.metadata if isinstance(extra, FieldInfo) else [extra]
            walk(inner)
        elif origin is Literal:
            found.choices.extend(map(str, get_args(annotation)))
        elif origin in (Union, types.UnionType):
            for part in get_args(annotation):
                walk(part)
        elif origin is tuple:
            found.kinds.add(tuple)
            for part in get_args(annotation):
                if part is not ...:
                    walk(part)
        elif origin is dict:  # a table's limits are not those of a single value
            found.kinds.add(dict)
        else:
            found.kinds.add(annotation)

    walk(option.annotation)
    if named := named_by(option):
        found.kinds.discard(str)
        found.choices += named.names()
    return found


def _beyond(limits: list[Any], draw: random.Random) -> Iterator[str]:
    """Numbers just outside limits, and far away."""
    far = [10 ** draw.randint(0, 6) * draw.randint(1, 9) for _ in range(4)]
    for limit in limits:
        if isinstance(limit, annotated_types.Ge):
            low: Any = limit.ge
            yield repr(math.nextafter(low, -math.inf))
        elif isinstance(limit, annotated_types.Gt):
            low = limit.gt
            yield str(low)
        elif isinstance(limit, annotated_types.Le):
            high: Any = limit.le
            yield from (str(high + 1), *(str(high + distance) for distance in far[:2]), "1e308")
            continue
        elif isinstance(limit, annotated_types.Lt):
            high = limit.lt
            yield from (str(high), *(str(high + distance) for distance in far[:2]), "1e308")
            continue
        else:
            continue
        yield from (str(low - 1), *(str(low - distance) for distance in far[2:]), "-1e308")


def _misspelt(word: str, draw: random.Random) -> str:
    """A word with a letter lost, doubled, exchanged or added."""
    place = draw.randrange(len(word))
    lost = word[:place] + word[place + 1 :]
    added = word[:place] + draw.choice(_LETTERS) + word[place:]
    doubled = word[:place] + word[place] + word[place:]
    swapped = word[:-2] + word[-1] + word[-2]
    return draw.choice([lost, added, doubled, swapped])


def _garbled(draw: random.Random) -> str:
    """Any text at all, with a sign that stands in no option's values."""
    alphabets = (
        "0123456789.,-:",
        _LETTERS,
        "äßçñ中文عر\u0301",
        "\x00\x07\x1b\x7f\n\r\t\v\x85",
        " ,\"'\\`$",
    )
    alphabet = draw.choice(alphabets) + draw.choice(alphabets)
    text = [draw.choice(alphabet) for _ in range(draw.randint(0, 30))]
    text.insert(draw.randint(0, len(text)), "§")
    return "".join(text)


def wrong_texts(name: str, option: FieldInfo, draw: random.Random) -> list[str]:
    """Texts that an option must refuse, whatever else is given."""
    what = accepted_by(option)
    if what.is_text:
        return _wrong_free_texts(what)
    texts = [text for text in _JUNK if text not in what.choices]
    texts += [_garbled(draw) for _ in range(4)]
    if type(None) not in what.kinds and "none" not in what.choices:
        texts.append("none")
    if what.is_bool:
        texts += ["2", "-1", "0.5", "truee", "ja", "yes no", "10", "fals"]
    else:
        texts += ["true", "false", "True"]
    if what.is_number:
        texts += _beyond(what.limits, draw)
        if not what.is_list:
            texts += ["1,5", "1 5", "1;5", "1\n5"]
    if int in what.kinds and float not in what.kinds:
        texts += ["1.5", "0.5", "1e3", "1.0000001"]
    for choice in draw.sample(what.choices, min(3, len(what.choices))):
        near = {choice.upper(), choice + "x", choice[:-1], choice * 2, _misspelt(choice, draw)}
        near |= {
            choice.replace("a", "\u0430").replace("o", "\u043e"),
            f"{choice}\x00",
            f"{choice};",
        }
        texts += sorted(near - {*what.choices, ""})
        if not what.is_list:
            texts += [f"{choice} ", f" {choice}", f"{choice}\n", f"{choice},{choice}"]
    if what.is_list:
        texts += ["0-9,§", "[0,1]", "0;1", "0,,x"]
        if "each once" in accepted(option):
            texts += [f"{choice},{choice}" for choice in what.choices]
            texts += ["0,0", "0 0"] * what.is_number
    texts += _WRONG_TOO.get(name, ())
    return list(dict.fromkeys(texts))


def _wrong_free_texts(what: Accepted) -> list[str]:
    texts: list[str] = []
    for limit in what.limits:
        if isinstance(limit, annotated_types.MinLen):
            texts.append("")
        if pattern := getattr(limit, "pattern", None):
            texts += [text for text in _NO_NAMES if not re.fullmatch(pattern, text)]
    if Path in what.kinds:
        texts += ["", "a\x00b", "~no_such_user_at_all/x"]
    return texts


#: Texts that hold what a pattern is there to keep out.
_NO_NAMES = (
    "", " ", "a/b", "../a", ".a", "-", "a b", "é", "a\nb", "a\n", "a\x00", "\x1b[2J", "s3://a",
    "/a", "~", "*", "a" * 20_000 + "/", "\udcff", "\U0001f3b2",
)  # fmt: skip

#: What is wrong beyond what types and limits say.
_WRONG_TOO = {
    "rounds": (
        "0", "-1", "1001", "1.5", "0.8:0", "0.8:1001", "0.8:1.5", "1:3", "-0.1:3", "nan:3",
        "1_0", "0.8:1_0", "0.8:\u0663", "0.8:3,0.9", "0.8:3,0.8:4", "0.8:3,0.80:4", "0.8:",
        ":3", "0.8:3:4", "0.8=3", "0.5:3", "x:3",
    ),
    "search": (
        "fraction", "=0.5", "0.5", "fraction=", "fraction=,", "fraction=0.5,,x", "fraction=0",
        "fraction=1.5", "fraction=0.5,1.5", "fraction=nan", "fraction=0.5,none", "fraction=true",
        "fraction=0.5,0.50", "fraction=0.5 fraction=1", "fraction=0.5=1", "fraction:0.5",
        "fraktion=0.5", "Fraction=0.5", "seeds=0,1", "width=8,16", "search=fraction",
        "first_task_identity=2", "period=1.5", "period=1-3",
    ),
    "cpus_per_trial": ("0", "0.00005", "0.00009999", "1e-5", "1e-300", "5e-324"),
    "gpus_per_trial": (
        "0.00005", "0.00009999", "1e-300", "1.5", "1.0001", "2.5", "3.9999", "4095.5", "1.00000001",
    ),
}  # fmt: skip

# ------------------------------------------------------------------ contradictions

#: For each check of the configuration that looks at several options, or at more than limits: the
#: options that the message may begin with, and command lines that it must refuse.
_CONTRADICTIONS: dict[str, tuple[str, ...]] = {
    "_momentum_has_its_optimizer": (
        "momentum optimizer search",
        "--momentum 0.01",
        "--momentum 0.99 --optimizer adam",
        "--momentum 0.9 --optimizer adamw",
        "--nesterov true",
        "--nesterov true --optimizer sgd",
        "--nesterov true --optimizer rmsprop --momentum 0.9",
        "--nesterov true --optimizer sgd --search momentum=0,0.9",
    ),
    "_each_place_once": ("step_at", "--schedule step --step-at 0.5,0.50", "--step-at 0.1,0.9,0.1"),
    "_device_has_the_precision": (
        "precision search",
        "--precision float16 --device cpu",
        "--precision float16 --device cpu --gpus-per-trial 1",
        "--search precision=float32,float16 --device cpu --gpus-per-trial 1",
    ),
    "_smoothed_labels_are_classes": (
        "label_smoothing",
        "--dataset slowly_changing_regression --label-smoothing 0.1",
    ),
    "_augmented_data_are_images": (
        "crop_padding search",
        "--augment crop --crop-padding 9",
        "--augment flip_crop --crop-padding 4096",
        "--augment crop --search crop_padding=8,9",
        "--search augment=none,flip_crop --crop-padding 9",
    ),
    "_patches_and_heads_fit": (
        "patch_size vit_heads search",
        "--network vit --patch-size 3",
        "--network vit --patch-size 16",
        "--network vit --vit-heads 3",
        "--network vit --vit-dimension 10",
        "--network vit --search vit_heads=4,5",
        "--search network=mlp,vit --vit-heads 5",
    ),
    "_draws_tasks_that_differ": ("probe_shift", "--probe-shift stationary", "--probe-shift noise"),
    "_probe_shift_is_that_in_use": (
        "probe_shift",
        "--shifts class_split --probe-shift rotation",
        "--shifts class_split,stationary --probe-shift permuted_pixels",
    ),
    "_file_is_read": ("data_file", "--data-file mine.npz", "--data-file a.npz --dataset mnist"),
    "_pixels_are_permuted": (
        "fraction",
        "--fraction 0.022",
        "--fraction 1e-9 --shifts permuted_pixels",
    ),
    "_output_rate_needs_layers": (
        "output_rate",
        "--scope global --output-rate 0",
        "--scope global --output-rate 0.99",
    ),
    "_small_steps_shrink_little": (
        "shrink",
        "--interventions shrink_and_perturb --perturb-every step --shrink 0",
        "--interventions none,shrink_and_perturb --perturb-every step --shrink 0.98",
        "--interventions shrink_and_perturb --search perturb_every=task,step --shrink 0.8",
    ),
    "_searched_values_are_accepted": (
        "search",
        "--interventions l2 --search l2_strength=1e-4,101",
        "--interventions l2 --search l2_strength=-1",
        "--interventions l2 --search l2_strength=1e-4,x",
        "--interventions l2_init --search l2_strength=1e-4,0.0001",
        "--interventions l2_init --search l2_strength=1e-4 --search l2_strength=1e-3",
        "--interventions l2_init --search l2_strength=1e-4 l2-strength=1e-3",
        "--interventions l2_init --search l2_strenght=1e-4,1e-3",
        "--interventions shrink_and_perturb --search perturb_every=task,epoch",
        "--interventions redo --search redo_interval=10,1.5",
    ),
    "_interventions_are_those_of_the_search": (
        "search",
        "--interventions none,l2 --search zip(intervention,lr)=(none,1e-3),(l2,1e-2)",
    ),
    "_draws_are_asked_for": (
        "search samples",
        "--search lr=loguniform(1e-4,1e-2)",
        "--samples 3",
        "--search lr=1e-3,1e-2 --samples 3",
    ),
    "_seeds_can_be_added": (
        "until_width max_seeds seeds",
        "--max-seeds 5",
        "--max-seeds 4 --until-width 0.1",
        "--max-seeds 9 --until-width 0.1 --seeds 0-9",
        "--until-width 0",
        "--until-width -0.1 --max-seeds 9",
        "--until-width 0.1 --probe-tasks 0",
        "--until-width 0.1 --random-masks 0",
        "--until-width 0.1 --random-density 0.05",
        "--until-width 0.1 --snapshots 0",
        "--until-width 0.1 --dataset slowly_changing_regression",
        "--until-width 0.1 --seeds 9223372036854775800",
    ),
    "_each_axis_is_of_one_kind_of_run": (
        "search",
        "--search zip(lr,criterion)=(1e-3,magnitude),(3e-3,movement)",
    ),
    "_searched_options_are_used": (
        "search",
        "--interventions none --search l2_strength=1e-4,1e-3",
        "--interventions none,redo,reset --search l2_strength=1e-4,1e-3",
        "--interventions l2,redo --search shrink=0.8 redo_interval=10",
        "--shifts stationary --search fraction=0.5,1",
        "--shifts stationary,rotation --search period=2 --search noise_step=0.1",
        "--interventions l2 --search l2_strength=1e-4 --l2-strength 1e-4",
        "--interventions l2 --l2-strength 1e-3 --search l2_strength=1e-4,1e-3",
    ),
    "_runs_are_valid": (
        "search",
        "--search fraction=0.5,0.022",
        "--interventions redo --batch-size 32 --epochs 1 --search redo_interval=45,46",
        "--interventions shrink_and_perturb --perturb-every step --search shrink=0.999,0.98",
    ),
    # 45 batches of 32 digits an epoch
    "_search_fits_its_stream": (
        "rewind_steps plastic_task",
        "--batch-size 32 --epochs 1 --rewind-steps 46",
        "--batch-size 32 --epochs 50 --rewind-steps 1000000",
        "--plastic-task unshifted --shifts class_split",
        "--plastic-task unshifted --shifts stationary,class_split",
        "--plastic-task unshifted --shifts class_split --classes-per-task 10",
    ),
    "_a_carried_optimizer_is_reset": (
        "carry_optimizer",
        "--interventions optimizer_reset",
        "--interventions none,optimizer_reset --carry-optimizer false",
    ),
    "_frozen_networks_have_no_statistics": (
        "norm",
        "--interventions plasticity_injection --network vgg --norm batch",
        "--interventions none,plasticity_injection --network resnet --norm batch",
        "--interventions plasticity_injection --norm batch",
    ),
    "_recycling_happens": (
        "redo_interval interventions",
        "--interventions none,redo --batch-size 32 --epochs 1 --redo-interval 46",
        "--interventions redo --batch-size 32 --epochs 99 --redo-interval 4456",
    ),
    "_silence_lasts_a_batch": (
        "snr_max_age",
        "--interventions snr --batch-size 32 --snr-max-age 31",
        "--interventions none,snr --batch-size 5000 --snr-max-age 1436",
    ),
    "_projected_weights_are_normalised": (
        "interventions",
        "--interventions weight_projection",
        "--interventions none,weight_projection --network lenet",
        "--interventions weight_projection,l2 --network resnet",
        "--interventions weight_projection --network vgg --norm none",
        "--interventions weight_projection --network vit",
    ),
    "_within_stream": (
        "snapshots",
        "--tasks 1 --snapshots 1",
        "--tasks 9 --snapshots 0,9",
        "--tasks 99 --snapshots 0-100",
        "--tasks 1000 --snapshots 1005-:3",
        "--tasks 9 --snapshots 0-:2,9",
    ),
    "_a_batch_is_left": (
        "batch_size",
        "--drop-last --batch-size 1438",
        "--batch-size 1000000 --drop-last=true",
        "--shifts stationary,class_split --classes-per-task 2 --batch-size 288 --drop-last",
    ),
    "_a_batch_of_probe_tasks_is_left": (
        "batch_size",
        "--shifts stationary --probe-shift class_split --batch-size 300 --drop-last",
        "--probe-shift class_split --drop-last --batch-size 288",
    ),
    "_close_open_ranges": (
        "snapshots",
        "--tasks 5 --snapshots 5-:1",
        "--tasks 5 --snapshots 0-:0",
        "--tasks 5 --snapshots -:1",
        "--tasks 5 --snapshots 0,9-:10",
        "--tasks 5 --snapshots 0-:x",
        "--tasks 5 --snapshots 0-:",
    ),
    "_engine_applies": (
        "engine",
        "--engine fast --network lenet",
        "--engine fast --network vgg",
        "--engine fast --norm layer",
        "--engine fast --activation crelu --network lenet_300_100",
        "--engine stacked --norm batch --network conv2",
        "--engine fast --network resnet",
        "--engine fast --precision bfloat16",
        "--engine fast --interventions plasticity_injection",
        "--engine fast --interventions none,plasticity_injection",
        "--engine fast --interventions none,none --interventions plasticity_injection",
        "--engine fast --device cuda --gpus-per-trial 1",
        "--engine stacked --interventions reset",
        "--engine stacked --interventions none,shrink_and_perturb",
        "--engine stacked --gradual 0.5",
        "--engine stacked --shifts class_incremental",
        "--engine stacked --dataset slowly_changing_regression",
        "--engine stacked --optimizer rmsprop",
        "--engine stacked --schedule step",
        "--engine stacked --warmup 0.1",
        "--engine stacked --label-smoothing 0.1",
        "--engine stacked --clip-norm 1",
        "--engine stacked --augment flip_crop",
        "--engine stacked --precision bfloat16",
        "--engine stacked --network vgg --norm batch",
        "--engine stacked --network resnet --norm batch",
    ),
    "_trials_get_what_they_compute_on": (
        "device engine precision",
        "--precision float16",
        "--search precision=float32,float16",
        "--device cuda",
        "--device cuda --gpus-per-trial 0",
        "--device cuda --engine generic",
        "--device cuda --cpus-per-trial 4",
        "--engine fast --gpus-per-trial 1",
        "--engine fast --gpus-per-trial 0.5 --device auto",
        "--engine fast --gpus-per-trial 4",
    ),
    "_ray_can_reserve_it": (
        "gpus_per_trial",
        "--gpus-per-trial 1.5 --device cuda",
        "--gpus-per-trial 0.00001 --device cuda",
    ),
    "_share_is_one_of_them": ("share", "--share 0/4", "--share 5/4", "--share 1/0 --local"),
    "_shares_are_known_beforehand": ("share", "--share 1/4 --until-width 0.1 --probe-tasks 1"),
    "_local_is_without_workers": (
        "address logger cpus_per_trial gpus_per_trial max_concurrent",
        "--local --address auto",
        "--local --address 10.0.0.1:6379 --seeds 0",
        "--local true --logger mlflow",
        "--local --logger wandb --max-concurrent 1",
        "--local --cpus-per-trial 2",
        "--local --cpus-per-trial 0.5",
        "--local --gpus-per-trial 0.5",
        "--local --gpus-per-trial 2 --device cuda",
        "--local --max-concurrent 2",
    ),
    "_rounds_fit": (
        "rounds",
        "--sparsities 0.8 --rounds 0.9:3",
        "--sparsities 0.5,0.6 --rounds 0.8:3,0.9:5",
        "--sparsities 0 --rounds 0.1:1",
        "--sparsities 0.8,0.9 --rounds 0.8:3,0.95:10",
        "--sparsities 0.8,0.9 --rounds 0.8:3",
        "--sparsities 0.8 --rounds 0.8:3,0.9:5",
    ),
    "_controls_follow_their_tickets": (
        "random_masks rewired_masks reinit_tickets supermasks",
        "--tickets 2 --supermasks 3",
        "--tickets 2 --rewired-masks 3",
        "--tickets 1 --reinit-tickets 2",
        "--tickets 2 --random-masks 3 --scope global",
        "--tickets 2 --random-masks 1000 --rewind-steps 5",
    ),
    "_flow_reaches_all_weights": (
        "criterion",
        "--criterion synflow --network vit",
        "--network vit --vit-depth 1 --criterion synflow --rounds 2",
    ),
    "_signal_passes_the_head": (
        "criterion",
        "--head-reset zero --criterion snip",
        "--head-reset zero --criterion synflow",
        "--head-reset zero --criterion edge_popup --snapshots 3",
    ),
    "_old_heads_do_not_come_back": (
        "head_reset",
        "--head-reset zero --interventions plasticity_injection",
        "--head-reset fresh --interventions none,hare_and_tortoise",
    ),
    "_trained_scores_mask_by_zeros": ("criterion", "--criterion edge_popup --masked freeze"),
    "_early_bird_looks_at_trainings": (
        "early_bird criterion",
        "--epochs 9 --early-bird 0.1 --criterion snip",
        "--epochs 9 --early-bird 0.1 --criterion taylor",
    ),
    "_early_bird_can_stop": (
        "early_bird_epochs engine",
        "--epochs 5 --early-bird 0.1",
        "--epochs 2 --early-bird 0.1 --early-bird-epochs 2",
        "--epochs 9 --early-bird 0.1 --engine stacked",
    ),
    "_masks_are_drawn_after_each_epoch": (
        "engine",
        "--retraining-pairs 1 --engine stacked",
        "--engine stacked --retraining-pairs 1000 --barrier-points 3",
    ),
    "_tickets_were_searched": (
        "ticket_pairs",
        "--ticket-pairs 3",
        "--tickets 1 --ticket-pairs 1",
        "--tickets 999 --ticket-pairs 500",
    ),
    "_supermasks_mask_by_zeros": ("supermasks", "--supermasks 1 --masked freeze"),
    "_streams_are_searched": (
        "stream_snapshots stream_sparsities",
        "--sparsities 0.8 --stream-sparsities 0.9",
        "--sparsities 0.8,0.9 --stream-sparsities 0.8,0.7",
        "--sparsities 0.8 --stream-sparsities 0",
        "--tasks 5 --snapshots 0,4 --stream-snapshots 3",
        "--tasks 5 --snapshots 0,4 --stream-snapshots 0-4",
        "--tasks 5 --snapshots 0 --stream-snapshots 99999999",
    ),
    "_each_once": (
        "seeds shifts interventions sparsities",
        "--seeds 0-3,2",
        "--seeds 5 4 3 4",
        "--shifts noise rotation noise",
        "--interventions redo,none,redo",
        "--sparsities 0.5,0.50",
        "--sparsities 0.8 8e-1",
    ),
    "_each_snapshot_once": (
        "ticket_snapshots",
        "--ticket-tasks 5 --ticket-snapshots 0,4,0",
        "--ticket-tasks 5 --ticket-snapshots 3,3",
    ),
    "_ticket_streams_are_long_enough": (
        "ticket_snapshots",
        "--ticket-tasks 5 --ticket-snapshots 5",
        "--ticket-tasks 9 --ticket-snapshots 0,9",
        "--ticket-tasks 1 --ticket-snapshots 1",
    ),
    "_each_given_once": (
        "subnetworks stream_sparsities stream_snapshots",
        "--subnetworks dense,ticket,dense",
        "--sparsities 0.8 --stream-sparsities 0.8,0.80",
        "--tasks 5 --snapshots 0,4 --stream-snapshots 0,4,0",
        "--stream-snapshots ,",
    ),
    "_names_are_known": (
        "dataset shifts interventions network criterion metrics",
        "--dataset mine",
        "--dataset mnist,digits",
        "--shifts noise,brightness",
        "--shifts shift",
        "--interventions none,mine",
        "--network my_net",
        "--network resnet,mlp",
        "--criterion mine",
        "--criterion movement,random",
        "--metrics mine",
        "--metrics weight_norm",
    ),
    "_each_measured_once": ("metrics", "--metrics ,", "--metrics=", "--metrics mine,mine"),
    "_each_further_measure_once": (
        "measures",
        "--measures ,",
        "--measures=",
        "--measures churn,churn",
        "--measures ntk",
    ),
    "_absolute": (
        "data_root data_file",
        "--data-root ~no_such_user_at_all/x --dataset mnist",
        "--data-file ~no_such_user_at_all/x --dataset npz",
    ),
    "_is_no_slip": (
        "data_root data_file",
        "--data-root= --dataset mnist",
        "--data-file= --dataset npz",
    ),
    "_data_set_has_what_tasks_and_network_need": (
        "classes_per_task train_examples flipping_bits warm_share shifts probe_shift",
        "--shifts warm_start --warm-share 0.006",
        "--train-examples 9",
        "--train-examples 1438 --shifts stationary",
        "--dataset slowly_changing_regression --train-examples 10001",
        "--dataset slowly_changing_regression --shifts class_split",
        "--dataset slowly_changing_regression --shifts stationary,label_noise",
        "--dataset slowly_changing_regression --probe-shift permuted_labels",
        "--shifts bit_flipping",
        "--shifts stationary --probe-shift bit_flipping",
        "--shifts class_incremental --classes-per-task 6",
        "--shifts class_split --classes-per-task 11",
        "--shifts stationary,class_split --classes-per-task 99",
        "--probe-shift class_split --classes-per-task 11",
        "--dataset emnist --emnist-split letters --shifts class_split --classes-per-task 27",
    ),
}

#: Checks that no contradiction belongs to: some prepare values, a study fills in a run's rounds,
#: plugins and digest of the data, and how many classes its probe tasks have. Those about options of
#: plugins: tests/unit/config/test_plugin_options.py.
_NO_CONTRADICTION = {
    "_which_options_were_given_is_forgotten",
    "_as_users_mean_it", "_unused_parameters_do_nothing", "_customary_rounds", "_code_of_plugins",
    "_as_many_as_tickets", "_versions_are_those_of_this_raylot", "_other_options_do_nothing",
    "_probe_tasks_have_classes", "_data_are_those_of_before",
    "_options_of_plugins_are_accepted", "_options_of_plugins_are_taken_up",
    "_options_of_plugins_are_those_in_use", "_probe_is_no_larger_than_its_split",
}  # fmt: skip


def unlisted_checks() -> set[str]:
    """Checks of a study and of its runs that no contradiction here is for."""
    models = (Study, MeasurementRun, TicketsRun, RetrainingRun, TicketBarrierRun)
    decorators = [model.__pydantic_decorators__ for model in models]
    found = {name for of in decorators for name in (*of.model_validators, *of.field_validators)}
    return found - _NO_CONTRADICTION - set(_CONTRADICTIONS)


# ------------------------------------------------------------------ command lines


def _as_arguments(name: str, text: str, draw: random.Random) -> tuple[str, ...]:
    """``--name text`` or ``--name=text``, as far as both mean the same."""
    dashed = f"--{name.replace('_', '-')}"
    could_be_option = text.startswith("-") and not re.match(r"-[\d.]|-inf", text)
    if could_be_option or draw.random() < 0.5:
        return (f"{dashed}={text}",)
    return (dashed, text)


def _typed(name: str) -> str:
    """How a message about an option of the command line begins."""
    return f"--{name.replace('_', '-')}="


def _in_file(name: str) -> str:
    """How a message about an option of a configuration file begins."""
    return f"--config={{file}}: {name}="


#: The options of a command line; those of plugins have names of their own.
_TYPED = {n: field for n, field in Study.model_fields.items() if n != "plugin_options"}


def _wrong_values(draw: random.Random) -> Iterator[Invalid]:
    for name, option in _TYPED.items():
        for text in wrong_texts(name, option, draw):
            arguments = _as_arguments(name, text, draw)
            yield Invalid("wrong value", _among(arguments, draw), begins=(_typed(name),))


def _among(arguments: tuple[str, ...], draw: random.Random) -> tuple[str, ...]:
    """The arguments alone, or beside some that are right."""
    around = draw.choice([(), ("--dry-run",), ("--preset", "original"), ("--retry-failed",)])
    return (*around, *arguments) if draw.random() < 0.5 else (*arguments, *around)


def _wrong_options(draw: random.Random) -> Iterator[Invalid]:
    known = {*_TYPED, *_FLAGS}
    for name in (*_TYPED, *_FLAGS):
        wrong = {_misspelt(name, draw) for _ in range(2)} | {name.upper(), f"no_{name}"}
        for misspelt in sorted(wrong - known):
            dashed = "--" + misspelt.replace("_", "-")
            arguments = draw.choice([(dashed, "3"), (f"{dashed}=3",), (dashed,)])
            yield Invalid("unknown option", arguments, begins=(dashed,))
    for text in ("§", "a\nb", "\x1b[2J", "a b", "", "\udcff", "--", "cls", "__class__"):
        yield Invalid("unknown option", (f"--{text}=3",))
    for text in ("-x", "-e3", "-lr", "-1", "-5.5", "-inf", "-ü"):
        yield Invalid("unknown option", (text, "3"))


def _missing_values(draw: random.Random) -> Iterator[Invalid]:
    names = [*_TYPED, "preset", "config", "plugin"]
    for name in names:
        if name in _TYPED and accepted_by(_TYPED[name]).is_bool:
            continue
        for after in ((), ("--dry-run",)):
            arguments = (f"--{name.replace('_', '-')}", *after)
            yield Invalid("missing value", arguments, begins=(_typed(name),))


def _surplus(draw: random.Random) -> Iterator[Invalid]:
    words = ["stray", "3", "a=b", "epochs=3", "a\nb", "\x1b[31m", " ", "", "\udcff"]
    for word in (*words, *(_garbled(draw).lstrip("-") for _ in range(10))):
        yield Invalid("surplus word", (word, *draw.choice([(), ("--epochs", "3"), ("--dry-run",)])))
        yield Invalid("surplus word", ("--epochs", "3", word))
    for name in ("dry-run", "retry-failed"):
        for text in ("yes", "1", "", "§"):
            yield Invalid("surplus word", (f"--{name}={text}",))
    yield Invalid("surplus word", ("--", "--epochs", "3"))
    yield Invalid("surplus word", ("--epochs", "3", "--", "--dry-run"))


def _contradicting(draw: random.Random) -> Iterator[Invalid]:
    for names, *lines in _CONTRADICTIONS.values():
        for line in map(str.split, lines):
            begins = tuple(map(_typed, names.split()))
            for arguments in (tuple(line), (*line, "--dry-run")):
                yield Invalid("contradiction", arguments, begins=begins)
            values = _as_mapping(line)
            if values is not None:
                in_file = tuple(map(_in_file, names.split()))
                begins = (*in_file, *begins)  # what is wrong may be what the file does not give
                yield Invalid("contradiction in a file", ("--config", "{file}"), values, begins)


def _as_mapping(line: list[str]) -> bytes | None:
    """``--option value`` pairs as a configuration file; None if they are no plain pairs."""
    names, values = line[::2], line[1::2]
    if len(names) != len(values) or any(not name.startswith("--") or "=" in name for name in names):
        return None
    if any(value.startswith("--") for value in values) or len(set(names)) < len(names):
        return None
    return yaml.safe_dump(dict(zip((n[2:] for n in names), values, strict=True))).encode()


def _presets_and_paths(draw: random.Random) -> Iterator[Invalid]:
    for text in ("", "big", "Default", "default ", "original,default", "§", "a\nb", "x" * 10_000):
        yield Invalid("preset", (f"--preset={text}",), begins=("--preset=",))
    paths = (
        "", ".", "/", "/nowhere.yaml", "/dev/zero", "/proc/self/mem", "/etc/hostname/x",
        "~/no", "~",
        "a\x00b", "a\nb", "\udcff", "x" * 10_000, "https://example.org/a.yaml", "{file}/x",
    )  # fmt: skip
    for text in paths:
        yield Invalid("path of the file", (f"--config={text}",), begins=("--config=",))
        yield Invalid("path of a plugin", (f"--plugin={text}",), begins=("--plugin=",))
        yield Invalid("path of a plugin", ("--dry-run", f"--plugin={text}"), begins=("--plugin=",))


def _places(draw: random.Random) -> Iterator[Invalid]:
    """Storages and data roots that cannot be: they are looked at after the configuration."""
    storages = (
        "/etc/hostname", "/etc/hostname/x", "/dev/null", "/dev/null/x", "/proc/raylot",
        "/proc/1/raylot", "/sys/raylot", "{file}", "foo://bar", "http://example.org/x",
        "https://example.org", "ftp://x/y", "s3://", "://", "S4://a/b",
        "~no_such_user_at_all/x", "a\x00b", "python://os", "s3:/x", "s3:x", "S3://bucket/x",
        "C:\\x", "file:/x", "file://host/x", "local:///x", "mock://x", "gs:/x", "s3:///x",
        "s3://b/../x", "$HOME/x", "${HOME}/x", "/tmp/$USER/x", "%TEMP%/x", "x\\y", "x ", " x", " ",
        "a:b", "x" * 300, "s3://key:secret@bucket/x", "s3://bucket/x?secret_key=secret",
        "s3://bucket name/x",
    )  # fmt: skip
    for text in storages:
        yield Invalid("storage", (f"--storage={text}",), b"", begins=("--storage=",))
        file = yaml.safe_dump({"storage": text}).encode() if "{" not in text else None
        if file is not None and "\x00" not in text:
            begins = (_in_file("storage"),)
            yield Invalid("storage", ("--config", "{file}"), file, begins=begins)
    roots = (
        "/nowhere", "s3://bucket/x", "file:///data", "$HOME/x", "C:\\x", "/etc/hostname", "/proc",
        "/dev/null/x", ".", "~", "a\nb", "\udcff",
    )  # fmt: skip
    for text in roots:
        arguments = ("--dataset", "mnist", f"--data-root={text}")
        yield Invalid("data root", arguments, begins=("--data-root=",))
        yield Invalid("data root", (*arguments, "--dry-run"), begins=("--data-root=",))
    yield Invalid("data root", ("--dataset", "mnist"), begins=("--data-root is not given: ",))
    # best-settings finds first that the preset's seed is one of those that choose
    begins = ("--data-root is not given: ", "--choosing-seeds=")
    yield Invalid("data root", ("--preset", "original"), begins=begins)


# ------------------------------------------------------------------ configuration files


def _wrong_in_a_file(draw: random.Random) -> Iterator[Invalid]:
    for name, option in Study.model_fields.items():
        what = accepted_by(option)
        # each stands for a type that the option has not
        values = ["[]", "{a: 1}", "[[1]]", "[{}]", "&a [*a]", "*nowhere"]
        values += ["null", "~"] * (type(None) not in what.kinds)
        if not what.is_text:
            values += ["2001-02-03", "12:30:00", ".nan", "-.inf", "0o17", "0x1F", "'§'", ""]
            values += ["true", "[true]", "[false, true]"] * (not what.is_bool)
        for value in values:
            key = draw.choice([name, name.replace("_", "-"), f"'{name}'"])
            file = f"{key}: {value}\n".encode()
            begins = ("--config={file}: ",)
            yield Invalid("wrong type in a file", ("--config", "{file}"), file, begins)
        texts = wrong_texts(name, option, draw)
        texts = [t for t in draw.sample(texts, min(8, len(texts))) if _can_be_dumped(t)]
        texts = [t for t in texts if t not in ("null", "~")]  # none in a file, quoted or not
        for text in texts[:4]:
            file = yaml.safe_dump({name: text}).encode()
            begins = (_in_file(name),)
            yield Invalid("wrong value in a file", ("--config", "{file}"), file, begins)
        wrong = _misspelt(name, draw)
        if wrong not in Study.model_fields and wrong:
            file = yaml.safe_dump({wrong: 3}).encode()
            begins = (_in_file(wrong),)
            yield Invalid("unknown option in a file", ("--config", "{file}"), file, begins)


def _can_be_dumped(text: str) -> bool:
    """Whether a YAML file can hold a text, as text; those that are slow to write are left out."""
    try:
        return len(text) < 1000 and bool(
            yaml.safe_load(yaml.safe_dump({"a": text}).encode()) == {"a": text}
        )
    except (yaml.YAMLError, UnicodeError):
        return False


def _documents(draw: random.Random) -> Iterator[Invalid]:
    """Files that are no flat mapping of names to values."""
    contents = [
        b"- epochs", b"[]", b"[epochs, 3]", b"epochs", b"3", b"true", b"'epochs: 3'", b"epochs=3",
        b"epochs: [1", b"{epochs: 1, lr", b"epochs: 1: 2", b"\tepochs: 1",
        b"epochs: 1\n---\nepochs: 2", b"epochs: *a", b"epochs: \xff", b"\x00",
        "epochs: 3".encode("utf-16"), "n\u00e4me: 1".encode("latin-1"), b"epochs: \x07",
        b"epochs: 1\x00", b"PK\x03\x04", b"\x7fELF", b"<yaml/>", b"epochs: " + b"[" * 1500,
        b"- " * 4000, b"? [1]\n: 2", b"? {a: 1}\n: 2", b"&a [*a]", b"&a {lr: *a}", b"null: 1",
        b"<<: {epochs: 3}", b"a: &a {epochs: 3}\n<<: *a", b"shift: {fraction: 0.5}",
        b"training:\n  epochs: 3\n  lr: 0.1", b"'': {}", b"rounds: {0.8: {0.9: 3}}",
        b"rounds: {[0.8]: 3}", b"%YAML 3.0\n---\nlr: 1", b"lr: @1", b"lr: `1`", b"lr: 'a",
        b'lr: "\\q"', b"lr: %1", b"lr: 1\n lr: 2",
        b"name: !!python/object/apply:os.system [touch harm]",
    ]  # fmt: skip
    for _ in range(60):  # bytes 0xf8 to 0xff stand in no UTF-8
        before, after = (draw.randbytes(draw.randint(0, 100)) for _ in range(2))
        contents.append(before + bytes([draw.randint(0xF8, 0xFF)]) + after)
    for content in contents:
        yield Invalid("no flat mapping", ("--config", "{file}"), content, ("--config=",))


def _plugins(draw: random.Random) -> Iterator[Invalid]:
    """Files that are no plugins; tests/unit/foundation/test_plugins.py has more of them."""
    good = b"""from raylot import plugins
def f(dataset, options, key, t): return dataset
plugins.shift('a_shift')(f)
"""
    contents = [
        b"", b"x = (", b"1/0", b"import no_such_module_at_all", b"raise SystemExit(0)", b"\xff",
        b"raise ValueError('a\\nb\\x1b[2J')", b"def f(): f()\nf()", b"epochs: 3",
        good.replace(b"a_shift", b"noise"), good.replace(b"a_shift", b"A b"),
        good.replace(b"plugins.shift", b"plugins.metric"), good + b"plugins.load('/nowhere.py')",
    ]  # fmt: skip
    for content in contents:
        arguments = draw.choice([(), ("--dry-run",), ("--help",), ("--preset", "original")])
        words = (*arguments, "--plugin", "{file}")
        yield Invalid("no plugin", words, content, ("--plugin=",))
    yield Invalid("no plugin", ("--plugin={file}", "--plugin={file}"), good, ("--plugin=",))
    for value in ("x.py", "[x.py]", "null", "true", "''", "/nowhere.py"):
        file = f"plugin: {value}\nepochs: 3\n".encode()
        yield Invalid("plugin in a file", ("--config", "{file}"), file, (_in_file("plugin"),))


def _odd_keys(draw: random.Random) -> Iterator[Invalid]:
    """Keys that are no option; no value is wrong."""
    keys = (
        "''", "' '", "1", "1.5", ".nan", "2001-02-03", "§", '"a\\nb"', '"\\e[2J"', '"\\0"',
        "'--lr'", "cls", "self", "__class__", "model_config", "preset", "config", "dry_run",
        "retry-failed", "LR", "Lr", "'lr '", "'lr:'", "\uff4c\uff52", "task", "seed", "shift",
        "intervention", "sparsity", "subnetwork", "x" * 500, "ü" * 900, "y", "null_", "values",
    )  # fmt: skip
    for key in keys:
        yield Invalid("unknown option in a file", ("--config", "{file}"), f"{key}: 3\n".encode())
    for value in ("true", "yes", "'true'", "1", "perhaps", "null", "[true]"):
        file = f"download: {value}\ndataset: mnist\ndata_root: /nowhere\n".encode()
        yield Invalid("download in a file", ("--config", "{file}"), file, (_in_file("download"),))


def sample(cases: Sequence[Invalid]) -> list[Invalid]:
    """One case about each option of every kind, and 120 cases of each kind, or all that it has."""
    shuffled = random.Random(7).sample(cases, len(cases))
    chosen = [*{case.about: case for case in shuffled}.values()]
    for kind in dict.fromkeys(case.kind for case in shuffled):
        chosen += [case for case in shuffled if case.kind == kind][:120]
    return list(dict.fromkeys(chosen))


def all_invalid() -> list[Invalid]:
    """Every invalid input, each once, and always the same ones."""
    draw = random.Random(20261124)
    cases = [
        case
        for generate in (
            _wrong_values, _wrong_options, _missing_values, _surplus, _contradicting,
            _presets_and_paths, _plugins, _places, _wrong_in_a_file, _documents, _odd_keys,
        )
        for case in generate(draw)
    ]  # fmt: skip
    return list(dict.fromkeys(cases))


def wrong_arguments(
    options: Mapping[str, FieldInfo], draw: random.Random
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Arguments with one wrong value each, and the option's name."""
    for name, option in options.items():
        for text in wrong_texts(name, option, draw):
            yield _as_arguments(name, text, draw), name
