"""The recipe: its schedule, its crops, and that a run that was killed ends in the weights of one that was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from micrographia.errors import BadImages, BadStore, BadValue
from micrographia.images.source import ImageSource, open_source
from micrographia.model.card import Card, normalise
from micrographia.zoo.average import averaged
from micrographia.zoo.recipe import Recipe, augmented, crop_box, decoded, mixed
from micrographia.zoo.train import class_names, lesson, train_network
from tests.pictures import write_pictures

TINY = Recipe(epochs=3, batch=4, learning_rate=0.02, sizes=((0.5, 32), (0.5, 48)), bfloat16=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return open_source(write_pictures(tmp_path_factory.mktemp("train"), ("n00000001_disc", "n00000002_stripe"), each=6))


def test_the_rate_rises_once_and_falls_to_zero() -> None:
    recipe = Recipe()
    rates = [recipe.rate(p) for p in np.linspace(0, 1, 101)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(recipe.learning_rate, rel=1e-3)
    assert all(np.diff(rates[: top + 1]) > 0)
    assert all(np.diff(rates[top:]) <= 0)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_sizes_grow_at_their_shares_of_the_epochs() -> None:
    assert [Recipe(epochs=10, sizes=((0.3, 64), (0.7, 96))).size(e) for e in range(10)] == [64] * 3 + [96] * 7


def test_crops_lie_inside_and_have_the_wanted_share_and_aspect() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        left, top, right, bottom = crop_box(rng, 131, 97, (0.25, 0.9))
        assert 0 <= left < right <= 131
        assert 0 <= top < bottom <= 97
        share = (right - left) * (bottom - top) / (131 * 97)
        assert 0.25 - 1e-9 <= share <= 0.9 + 1e-9 or (right - left) == (bottom - top) == 97
        assert 3 / 4 - 1e-9 <= (right - left) / (bottom - top) <= 4 / 3 + 1e-9


def test_a_picture_too_narrow_for_any_crop_gives_its_centre_square() -> None:
    assert crop_box(np.random.default_rng(0), 400, 10, (0.9, 1.0)) == (195.0, 0.0, 205.0, 10.0)


def test_cutmix_shares_the_targets_by_area() -> None:
    images = torch.arange(5.0)[:, None, None, None].expand(5, 3, 11, 13).clone()
    for seed in range(20):
        out, targets = mixed(images, torch.eye(5), np.random.default_rng(seed))
        torch.testing.assert_close(targets.sum(1), torch.ones(5))
        for row in range(5):
            own = (out[row, 0] == row).float().mean()
            assert targets[row, row] == pytest.approx(1.0 if row == 2 else float(own), abs=1e-6)


def test_an_epoch_s_batches_follow_from_the_seed_and_the_epoch(source: ImageSource) -> None:
    pictures = decoded(source, 64)

    def first(seed: int, epoch: int) -> torch.Tensor:
        return next(iter(augmented(pictures, replace(TINY, seed=seed), epoch)))[0]

    torch.testing.assert_close(first(0, 1), first(0, 1), rtol=0, atol=0)
    assert not torch.equal(first(0, 0)[:, :, :32, :32], first(1, 0)[:, :, :32, :32])


def test_a_resumed_run_ends_in_the_same_weights(source: ImageSource, tmp_path: Path) -> None:
    whole, card = train_network("mini-inception", source, source, TINY, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(line: dict) -> None:
        if line["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        train_network("mini-inception", source, source, TINY, tmp_path / "parts", report=kill)
    resumed, _ = train_network("mini-inception", source, source, TINY, tmp_path / "parts")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
    assert card.labels == ("disc", "stripe")
    assert card.training["epochs"] == 3
    assert 0 <= card.training["accuracy"] <= 1


def test_a_second_cycle_goes_on_from_given_weights_and_says_so(source: ImageSource, tmp_path: Path) -> None:
    one = replace(TINY, epochs=1)
    first = train_network("mini-alexnet", source, source, one, tmp_path / "first")
    still = replace(one, learning_rate=1e-12, first_decay=0.0, decay=0.0)
    second, card = train_network("mini-alexnet", source, source, still, tmp_path / "second", start=first)
    assert card.training["cycles"] == [1, 1]
    for (name, before), after in zip(first[0].named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6, msg=name)


def test_an_average_of_cycles_lies_between_them_with_norms_of_its_own(source: ImageSource, tmp_path: Path) -> None:
    one = replace(TINY, epochs=1)
    first = train_network("mini-inception", source, source, one, tmp_path / "first")
    raw, _ = train_network("mini-inception", source, source, one, tmp_path / "second", start=first)
    mean, card = train_network("mini-inception", source, source, one, tmp_path / "second", start=first, average=True)
    assert card.training["averaged"]
    assert card.training["cycles"] == [1, 1]
    for (name, a), b, c in zip(first[0].named_parameters(), raw.parameters(), mean.parameters(), strict=True):
        torch.testing.assert_close(c, (a + b) / 2, rtol=1e-6, atol=1e-7, msg=name)
    # each batch norm of the first layer sees what it says: zero mean and unit variance of what it hands on
    plain_mean = (first[0].state_dict()["conv2d0.bn.running_mean"] + raw.state_dict()["conv2d0.bn.running_mean"]) / 2
    assert not torch.allclose(mean.state_dict()["conv2d0.bn.running_mean"], plain_mean)


def test_an_average_weighs_every_cycle_alike() -> None:
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    third = averaged(first, second, 1 / 3, [])
    torch.testing.assert_close(third.weight, (2 * first.weight + second.weight) / 3)


def test_teachers_give_their_share_of_the_target(source: ImageSource, tmp_path: Path) -> None:
    teacher = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    teacher(torch.zeros(1, 3, 5, 7))
    card = Card("teacher", size=(5, 7))
    images = torch.rand(4, 3, 5, 7)
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(105, 2))
    expected = (teacher(normalise(images, card)).softmax(1) + other(normalise(images, card)).softmax(1)) / 2
    torch.testing.assert_close(lesson([(teacher, card), (other, card)], images), expected)
    assert lesson([], images) is None
    # a run that was begun with a teacher is not resumed without it
    pupil = train_network("mini-vgg", source, source, replace(TINY, epochs=1), tmp_path / "a")
    taught, told = train_network(
        "mini-vgg", source, source, replace(TINY, epochs=1), tmp_path / "b", teachers=[(pupil[0], pupil[1])]
    )
    assert told.training["teachers"] == ["mini-vgg"]
    assert any(not torch.equal(a, b) for a, b in zip(pupil[0].parameters(), taught.parameters(), strict=True))


def test_what_cannot_be_averaged_or_taught_is_refused(source: ImageSource, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="nothing to average"):
        train_network("mini-vgg", source, source, TINY, tmp_path, average=True)
    stranger = (torch.nn.Linear(1, 1), Card("stranger", labels=("cat", "dog")))
    with pytest.raises(BadImages, match="stranger"):
        train_network("mini-vgg", source, source, TINY, tmp_path, teachers=[stranger])


def test_another_recipe_s_checkpoint_is_refused(source: ImageSource, tmp_path: Path) -> None:
    train_network("mini-vgg", source, source, replace(TINY, epochs=1), tmp_path)
    with pytest.raises(BadStore, match="other settings"):
        train_network("mini-vgg", source, source, replace(TINY, epochs=2), tmp_path)


def test_unknown_architectures_and_pictures_without_classes_are_refused(source: ImageSource, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="mini-inception"):
        train_network("inceptionv1", source, source, TINY, tmp_path)
    lonely = open_source(write_pictures(tmp_path / "one", ("disc",), each=2))
    with pytest.raises(BadImages, match="classes"):
        decoded(lonely, 64)
    with pytest.raises(BadValue, match="do not fill one batch"):
        train_network("mini-vgg", source, source, replace(TINY, batch=64), tmp_path / "small")


def test_wordnet_ids_are_left_out_of_class_names(source: ImageSource) -> None:
    assert class_names(source) == ("disc", "stripe")
