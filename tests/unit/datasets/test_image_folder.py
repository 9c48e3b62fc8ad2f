"""Images in a folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from raylot import load_dataset
from raylot.config import StreamRun
from raylot.foundation.errors import OptionError
from tests.unit.datasets.own_files import own_arrays, write_images, write_npz


def run_on(root: Path, image_size: int | None = None) -> StreamRun:
    return StreamRun.checked(
        dataset="image_folder", data_root=root, image_size=image_size, batch_size=4
    )


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5)])
def test_it_is_the_same_data_as_in_an_npz_file(shape: tuple[int, ...], tmp_path: Path) -> None:
    arrays = own_arrays(shape=shape)
    images = load_dataset("image_folder", root=write_images(tmp_path / "images", **arrays))
    own = load_dataset("npz", file=write_npz(tmp_path / "own.npz", **arrays))
    for name in ("train_inputs", "train_labels", "test_inputs", "test_labels"):
        assert torch.equal(getattr(images, name), getattr(own, name))
    assert images.input_shape == ((len(shape) == 3 and 3) or 1, 4, 5)


def test_classes_are_those_of_torchvision(tmp_path: Path) -> None:
    root = write_images(tmp_path)
    theirs = ImageFolder(str(root / "train"))
    ours = load_dataset("image_folder", root=root)
    assert ours.train_labels.tolist() == theirs.targets
    for image, (other, _) in zip(ours.train_inputs, theirs, strict=True):
        assert np.array_equal(image.numpy(), np.moveaxis(np.asarray(other), -1, 0))


def test_one_image_in_colour_gives_all_three_channels(tmp_path: Path) -> None:
    root = write_images(tmp_path, **own_arrays(shape=(4, 5)))
    colour = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    Image.fromarray(colour).save(root / "train" / "class1" / "zzz.png")
    task = load_dataset("image_folder", root=root)
    assert task.input_shape == (3, 4, 5)
    assert torch.equal(task.test_inputs[:, 0], task.test_inputs[:, 2])
    assert np.array_equal(task.train_inputs[8].numpy(), np.moveaxis(colour, -1, 0))


def test_images_of_several_sizes_are_refused_unless_they_are_resized(tmp_path: Path) -> None:
    root = write_images(tmp_path)
    Image.fromarray(np.zeros((6, 7, 3), np.uint8)).save(root / "test" / "class2" / "large.png")
    with pytest.raises(OptionError) as caught:
        run_on(root)
    assert str(caught.value) == (
        f"data_root={root}: must hold images of one size, or image_size=N resizes them; "
        "train/class0/0000.png is 5x4, test/class2/large.png 7x6"
    )
    run = run_on(root, image_size=8)
    assert run.facts.shape == (3, 8, 8)
    assert run.run_id != run_on(root, image_size=9).run_id
    task = load_dataset("image_folder", root=root, image_size=8)
    assert task.input_shape == (3, 8, 8)
    assert task.test_inputs[-1].count_nonzero() == 0


def test_what_the_files_hold_and_are_called_is_part_of_the_identity(tmp_path: Path) -> None:
    root = write_images(tmp_path / "one")
    first = run_on(root)
    assert run_on(root.rename(tmp_path / "other")).run_id == first.run_id
    (tmp_path / "other" / "test" / "class1" / "0002.png").rename(
        tmp_path / "other" / "test" / "class1" / "9.png"
    )
    assert run_on(tmp_path / "other").run_id != first.run_id


def test_other_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images")

    def refusal() -> str:
        with pytest.raises(OptionError) as caught:
            load_dataset("image_folder", root=root)
        return str(caught.value)

    broken = root / "train" / "class0" / "0000.png"
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) - 40])
    assert refusal().startswith(f"{broken}: must be an image that can be read")
    broken.write_bytes(b"no image")
    (root / "train" / "class0" / "new.png").write_bytes(content)  # the folder has changed
    assert refusal().startswith(f"{broken}: must be an image that can be read")
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(broken)
    (root / "train" / "class0" / "newer.png").write_bytes(content)
    assert refusal() == f"{broken}: must have 8 bits for each channel, not I;16"
    (root / "train" / "class7").mkdir()
    assert refusal() == (
        f"data_root={root}: train and test must hold the same classes; only one of them has class7"
    )
    (root / "test" / "class7").mkdir()
    broken.write_bytes(content)
    assert refusal().startswith(f"{root / 'train' / 'class7'}: must hold images (.bmp, ")
    root = tmp_path / "nowhere"
    assert refusal() == (
        f"data_root={root}: must be a folder that holds train/CLASS/*.png and test/CLASS/*.png "
        f"({root / 'train'}: No such file or directory)"
    )
    with pytest.raises(OptionError, match=r"^data_root is not given: must be the folder"):
        load_dataset("image_folder")


def test_images_that_change_after_they_were_looked_through_are_never_trained_on(
    tmp_path: Path,
) -> None:
    root = write_images(tmp_path)
    before = run_on(root)
    brighter = Image.fromarray(np.full((4, 5, 3), 255, np.uint8))
    brighter.save(root / "train" / "class1" / "0004.png")
    with pytest.raises(OptionError, match="must hold the same images as before") as caught:
        load_dataset("image_folder", root=root)
    assert "\n" not in str(caught.value)
    assert run_on(root).data_digest != before.data_digest
    assert load_dataset("image_folder", root=root).train_inputs[4].min() == 255


def test_an_image_that_came_after_the_others_were_counted_is_refused(tmp_path: Path) -> None:
    root = write_images(tmp_path)
    (root / "train" / "class1" / "deeper").mkdir()
    assert run_on(root).facts.train_sizes == (4, 4, 4)
    more = Image.fromarray(np.zeros((4, 5, 3), np.uint8))
    more.save(root / "train" / "class1" / "deeper" / "more.png")
    with pytest.raises(OptionError, match="must hold the same images as before"):
        load_dataset("image_folder", root=root)
    assert load_dataset("image_folder", root=root).train_inputs.shape[0] == 13
