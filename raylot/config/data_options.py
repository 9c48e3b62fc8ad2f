"""Options that choose the data set, and those that some data sets have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import field_validator

from raylot.config.naming import NamingOptions
from raylot.config.options import OneOf, Options, accepted, option
from raylot.foundation.paths import why_refused


class Npz(Options):
    """Options of the data set ``npz``."""

    data_file: Path | None = option(
        None, "file with the arrays x_train, y_train, x_test and y_test; its content is part of "
        "what a run is, its path is not", accepts="a file of numpy's format npz",
        off=None, role="where",
    )  # fmt: skip


class ImageFolder(Options):
    """Options of the data set ``image_folder``."""

    image_size: int | None = option(
        None, "height and width to which images are resized", ge=1, le=4096, off=None,
        role="training",
    )  # fmt: skip


class Emnist(Options):
    """Options of the data set ``emnist``."""

    emnist_split: Literal["balanced", "letters", "digits", "mnist"] = option(
        "balanced",
        "which of its splits",
        off="balanced",
        role="training",
    )


#: Data set -> the models of its options.
DECLARED: dict[str, tuple[type[Options], ...]] = {
    "npz": (Npz,),
    "image_folder": (ImageFolder,),
    "emnist": (Emnist,),
}


class DataOptions(Npz, ImageFolder, Emnist, NamingOptions, title="data"):
    """Options that choose the data set."""

    dataset: Annotated[str, OneOf("dataset")] = option(
        "digits", "data set: scikit-learn's 8x8 digits (embedded), your own arrays (npz: "
        "data_file), or in data_root your own images or one of torchvision's", common=True,
        role="training",
    )  # fmt: skip
    train_examples: int | None = option(
        None, "training examples that are used: a fixed random choice, the same for every seed, in "
        "which each class keeps its share; none given: all", ge=1, off=None,
        role="training",
    )  # fmt: skip
    scaling: Literal["raw", "unit", "standardize"] = option(
        "raw", "inputs as stored (0-16 for digits, 0-255 for other images), divided by their "
        "maximum, or with the training split's mean 0 and standard deviation 1, of each channel or "
        "feature if there are several", role="training",
    )  # fmt: skip
    data_root: Path | None = option(
        None, "folder that holds the data set in torchvision's layout (MNIST/raw/...), or "
        "train/CLASS/*.png and test/CLASS/*.png of image_folder",
        accepts="a folder that holds MNIST/raw/train-images-idx3-ubyte and its three siblings, "
        "another data set in torchvision's layout, or train/CLASS/*.png and test/CLASS/*.png",
        role="where",
    )  # fmt: skip
    download: bool = option(
        False, "download the data set into data_root if it is not there; on the command line "
        "only, a configuration file cannot ask for it", role="where",
    )  # fmt: skip

    @field_validator("data_root", "data_file", mode="before")
    @classmethod
    def _is_no_slip(cls, value: Any, info: Any) -> Any:
        """Refuses slips: an empty text, as of an unset shell variable, would be the working folder.

        A `Path` to a folder or file that exists is always accepted.
        """
        if isinstance(value, Path) and os.path.exists(value):  # noqa: PTH110 - it never raises
            return value
        text = str(value) if isinstance(value, str | Path) else None
        if text is not None and (reason := why_refused(text, with_uris=False)):
            what = accepted(cls.model_fields[info.field_name])
            raise ValueError(f"must be {what} ({reason})")
        return value

    @field_validator("data_root", "data_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """A trial works in a folder of its own, where a relative path would lead elsewhere."""
        try:
            return None if value is None else value.expanduser().resolve()
        except RuntimeError as error:  # there is no such user
            raise ValueError(str(error)) from None
