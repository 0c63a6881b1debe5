"""verdict(...): the controls that a circuit has to beat, as findings; supported(...): whether it beats them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from micrographia.circuits.chain import chain
from micrographia.circuits.controls import Plan, magnitude_only, other_networks, random_circuits
from micrographia.circuits.extract import extract, links_of
from micrographia.circuits.faithful import better_p, faithfulness
from micrographia.circuits.masked import Link, kept, nothing
from micrographia.circuits.probe import Ablated, Probe, Target, ablated, probe
from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.study.null import Finding, permutation_p

PICTURES = 16  # in each half: a circuit is found on as many and tested on as many others
LEVEL = 0.05
LEAST = 19  # of a control, for a p-value of 0.05

Images = Float[Tensor, "picture channel height width"]


def halves(images: Images, seed: int, pictures: int = PICTURES) -> tuple[Tensor, Tensor]:
    """Pictures to find a circuit on and others to test it on, drawn at random; raises BadValue for fewer than 4."""
    if len(images) < 4:
        raise BadValue(f"{len(images)} pictures cannot be shared out to find and to test a circuit. Give 4 or more.")
    order = np.random.default_rng(seed).permutation(len(images))
    half = min(pictures, len(images) // 2)
    return images[order[:half]], images[order[half : 2 * half]]


def enough(randoms: int, networks: int) -> None:
    """Raise BadValue for fewer controls than a p-value of 0.05 needs."""
    if min(randoms, networks) < LEAST:
        raise BadValue(
            f"{min(randoms, networks)} controls cannot give a p-value of 0.05. Ask for {LEAST} or more of each."
        )


def verdict(
    graph: LayerGraph,
    target: Target,
    trial: Probe,
    links: frozenset[Link],
    gone: Ablated,
    pictures: tuple[Images, Images],
    plan: Plan,
    randoms: int,
    networks: int,
    seed: int,
    advance: Callable[[int], None],
) -> Iterator[Finding]:
    """Yield one finding after the other, the cheap ones first: random circuits, the largest weights, other networks.

    Raises BadValue where the target is dead in untrained copies of the network.
    """
    whole, empty = trial.values.numpy(), nothing(trial, gone).numpy()
    part = kept(trial, links, gone).numpy()
    own = faithfulness(whole, part, empty)
    chance = random_circuits(trial, links, gone, randoms, seed)
    yield Finding(
        "beats random circuits of equal size", own - float(np.median(chance)), "the same graph over other units",
        permutation_p(own, chance), n=randoms,
    )  # fmt: skip
    magnitude = magnitude_only(graph, trial, links, plan.level)
    weights = kept(trial, magnitude, gone).numpy()
    # a circuit that the weights alone would have given as well cannot be worse than itself
    p = 0.0 if magnitude == links else better_p(whole, part, weights, trial.pictures, seed)
    yield Finding(
        "beats the largest weights", own - faithfulness(whole, weights, empty), "as many links, by weight", p,
        n=len(trial),
    )  # fmt: skip
    untrained, p = other_networks(graph, target, pictures, plan, own, networks, seed, advance)
    yield Finding(
        "beats untrained networks", own - float(np.median(untrained)), "the same method on weights dealt out anew", p,
        n=len(untrained),
    )  # fmt: skip


def holds(findings: Sequence[Finding], value: float) -> bool:
    """Whether a circuit of this faithfulness is supported: every control is beaten, and it explains something."""
    return value > 0 and all(each.p <= LEVEL for each in findings)


def supported(
    graph: LayerGraph,
    target: Target,
    images: Images,
    plan: Plan = Plan(),  # noqa: B008
    randoms: int = 39,
    networks: int = LEAST,
    pictures: int = PICTURES,
    seed: int = 0,
) -> bool:
    """The verdict of `verify` and nothing else, for tests of the test: it ends at the first control that is not beaten.

    Raises BadValue as `verify` does.

    >>> supported(graph, target(graph, "mixed3b:379"), pictures)  # doctest: +SKIP
    True
    """
    enough(randoms, networks)
    layers = chain(graph, target.layer, plan.depth)
    find, test = halves(images, seed, pictures)
    first = probe(graph, layers, target, find, seed)
    found = extract(graph, first, ablated(first, plan.ablation, seed), plan.method, plan.level, plan.pool)
    links = links_of(found, plan.size)
    if not links:
        raise BadValue(f"No path of edges leads to {target} on these pictures. Give a smaller depth or other pictures.")
    trial = probe(graph, layers, target, test, seed)
    gone = ablated(trial, plan.ablation, seed)
    own = faithfulness(trial.values.numpy(), kept(trial, links, gone).numpy(), nothing(trial, gone).numpy())
    if own <= 0:
        return False
    findings = verdict(
        graph, target, trial, links, gone, (find, test), plan, randoms, networks, seed, lambda _count: None
    )
    return all(each.p <= LEVEL for each in findings)
