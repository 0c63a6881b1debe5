from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from micrographia.errors import BadValue
from micrographia.model.card import Card, denormalise, normalise

CAFFE = Card(
    "caffe", scale=255.0, mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0), order="BGR", labels=("tench", "carp")
)


@pytest.mark.parametrize("card", [Card("plain"), CAFFE, Card("grey", channels=1, mean=(0.5,), std=(0.25,))])
def test_json_round_trip(card: Card) -> None:
    assert Card.from_json(card.to_json()) == card
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    assert hash(card) == hash(Card.from_json(card.to_json()))


def test_keys_of_a_later_version_are_left_out() -> None:
    assert Card.from_json({**CAFFE.to_json(), "colour": "blue"}) == CAFFE


def test_a_trainings_facts_are_kept() -> None:
    card = Card("mini", training={"epochs": 30, "seed": 0})
    assert Card.from_json(card.to_json()).training == {"epochs": 30, "seed": 0}


def test_normalise_is_what_the_card_says() -> None:
    red = torch.zeros(1, 3, 2, 5, dtype=torch.float64)
    red[:, 0] = 1
    seen = normalise(red, CAFFE)[0, :, 0, 0]
    assert seen.tolist() == [-104, -117, 255 - 123]
    plain = normalise(red, Card("plain"))[0, :, 1, 4]
    assert plain.tolist() == [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0 - 0.406) / 0.225]


@given(st.integers(0, 2**31), st.sampled_from([Card("plain"), CAFFE]))
def test_denormalise_is_the_inverse(seed: int, card: Card) -> None:
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(denormalise(normalise(images, card), card), images, atol=1e-13)


def test_normalise_keeps_the_type_and_has_a_gradient() -> None:
    images = torch.rand(1, 3, 2, 2, dtype=torch.float16, requires_grad=True)
    seen = normalise(images, CAFFE)
    assert seen.dtype == torch.float16
    seen.sum().backward()
    assert torch.equal(images.grad, torch.full_like(images, 255))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"order": "RBG"}, "order 'RBG' is not known. It is 'RGB' or 'BGR'"),
        ({"channels": 1}, "names 1 channels but 3 means and 3 deviations. Give one of each per channel"),
        ({"std": (1.0, 0.0, 1.0)}, "must be above 0"),
        ({"size": (0, 5)}, "must be above 0"),
        ({"scale": 0.0}, "must be above 0"),
    ],
)
def test_cards_that_make_no_sense(wrong: dict, message: str) -> None:
    with pytest.raises(BadValue, match=message):
        Card("wrong", **wrong)
