"""Planted circuits are recovered, and the fooling network is what it is said to be."""

from __future__ import annotations

import pytest
import torch

from micrographia.circuits.planted import WRITTEN, fooling, null_network, stimuli, written
from micrographia.circuits.trained import trained
from micrographia.errors import BadValue
from micrographia.jobs.planted import branch_rows, cluster_rows, extraction_row, supported_nulls
from micrographia.model.capture import capture
from micrographia.model.twin import floating_type


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("method", ["attribution", "weight"])
def test_written_circuits_are_extracted(name: str, method: str) -> None:
    row = extraction_row(written(name, seed=3), method)
    assert row.recall >= 0.95
    assert row.precision >= 0.95


def test_paths_of_opposite_sign_cancel_in_the_net_attribution_alone() -> None:
    # a feature that two units share, and that the target takes out again
    planted = written("superposed pair", seed=3)
    assert {("conv1:1", "conv2:0"), ("conv1:1", "conv2:1")} <= planted.edges
    assert extraction_row(planted, "net").recall <= 0.7


@pytest.mark.long
def test_a_trained_circuit_is_extracted() -> None:
    row = extraction_row(trained(), "attribution")
    assert row.recall >= 0.95
    assert row.precision >= 0.95


def test_nothing_is_zero_by_which_a_circuit_could_be_told() -> None:
    for weight in dict(written("curve").graph.module.named_parameters()).values():
        assert weight.ndim < 4 or bool((weight != 0).float().mean() > 0.8)


def test_the_fooling_network_is_honest_on_pictures_and_another_one_beyond() -> None:
    fooled, honest = fooling()
    images = stimuli(16)
    own, real = (capture(each.graph, images, "conv3")["conv3"][:, 0] for each in (fooled, honest))
    assert torch.allclose(own, real, atol=0.2 * float(real.std()))
    # an upright grating of more contrast than any picture: the honest unit is silent, the fooling one is not
    line = torch.tensor([1.0, 0.0, -1.0, 0.0]).repeat(6)
    grating = (12 * line).expand(1, 3, 24, 24).to(floating_type(fooled.graph.module)[0])
    beyond = [capture(each.graph, grating, "conv3", prepared=True)["conv3"][:, 0].max() for each in (fooled, honest)]
    assert float(beyond[0]) > 10 * max(float(real.max()), float(beyond[1]))


def test_other_detectors_find_a_strong_plant_and_not_a_faint_one() -> None:
    for rows in (cluster_rows(0, draws=1), branch_rows(0)):
        assert [row.signal for row in rows] == sorted(row.signal for row in rows)
        assert rows[-1].recall == 1
        # where one family fills a branch the others are fewer there than elsewhere, and that is said too
        assert (rows[-1].precision or 0) > 0.7
        assert rows[0].recall < 0.5


def test_random_networks_differ_by_their_seed() -> None:
    weights = [dict(null_network(seed).module.named_parameters())["conv1.conv.weight"] for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.long
def test_circuits_of_random_networks_are_seldom_called_supported() -> None:
    assert supported_nulls(4, seed=3) <= 2  # P(3 or more of 4 at level 0.05) is 0.0005


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(BadValue, match="There is no planted network 'cat'. Choose curve, colour contrast"):
        written("cat")
