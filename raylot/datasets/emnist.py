"""EMNIST (Cohen et al. 2017): handwritten letters and digits."""

from __future__ import annotations

from raylot.datasets._base import DataSet, Facts, Source, Splits
from raylot.datasets._idx import IdxFiles, fetch_with


def _split(name: str, classes: int, train: int, test: int, first_label: int = 0) -> IdxFiles:
    """Returns one of EMNIST's splits, all of whose classes have equally many examples."""
    return IdxFiles(
        title=f"EMNIST, split {name},",
        folder="EMNIST/raw",
        fetch=fetch_with("EMNIST", split=name, train=True),
        known=Facts((1, 28, 28), (train,) * classes, (test,) * classes),
        names=tuple(
            f"emnist-{name}-{part}-{what}-ubyte"
            for part in ("train", "test")
            for what in ("images-idx3", "labels-idx1")
        ),
        first_label=first_label,
    )


#: The splits whose classes are balanced, as published.
_SPLITS = {
    "balanced": _split("balanced", classes=47, train=2400, test=400),
    "letters": _split("letters", classes=26, train=4800, test=800, first_label=1),
    "digits": _split("digits", classes=10, train=24000, test=4000),
    "mnist": _split("mnist", classes=10, train=6000, test=1000),
}


class Emnist(DataSet):
    """One of four splits, which ``emnist_split`` chooses; images lie on their side, as stored."""

    can_download = True

    def facts(self, source: Source) -> Facts:
        return _SPLITS[source.emnist_split].facts(source)

    def check_there(self, source: Source) -> None:
        _SPLITS[source.emnist_split].check_there(source)

    def download(self, source: Source) -> None:
        _SPLITS[source.emnist_split].download(source)

    def load(self, source: Source) -> Splits:
        return _SPLITS[source.emnist_split].load(source)


DATASET = Emnist()
