"""`micrographia families`: which units of a layer are one feature, turned, mirrored, in other hues or sizes?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights

if TYPE_CHECKING:
    from micrographia.jobs.equivariance import Between


def families(
    model: Model,
    layer: Annotated[str, typer.Argument(help="the layer whose units are compared, like mixed3a")],
    weights: Weights = None,
    group: Annotated[str, typer.Option(help="rotation, reflection, hue or scale")] = "rotation",
    evidence: Annotated[str, typer.Option(help="weights, responses or both")] = "both",
    inputs: Annotated[str, typer.Option(help="an earlier layer: also the circuits from its families")] = "",
    score: Annotated[str, typer.Option(help="file of units' families to compare with, or 'published'")] = "",
    images: Annotated[str | None, typer.Option(help="pictures to transform; the bundled ones without")] = None,
    trials: Annotated[int, typer.Option(min=19, help="surrogate networks of each of two kinds")] = 99,
    out: Annotated[Path | None, typer.Option(help="folder for the figures and all numbers")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Find families of units that are one feature under a group, with their nulls; none in noise."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.equivariance import circuits, write_circuits
    from micrographia.jobs.families import KINDS, layer_families, scored, write_families

    graph = open_network(model, weights)
    kinds = KINDS if evidence == "both" else (evidence,)
    with console.bars(json) as stages:
        found = layer_families(graph, layer, group, kinds, images, trials, seed=seed, stages=stages)
        between: Sequence[Between] = ()
        if inputs:
            sources = layer_families(graph, inputs, group, kinds, images, trials, seed=seed, stages=stages)
            between = circuits(graph, sources, found, seed=seed)
    if score:
        found = scored(found, score, seed)
    figures = []
    if out is not None:
        figures = [*write_families(graph, found, out, store), *write_circuits(between, out)]
    for line in found.notes:
        console.note(line)
    if json:
        extra = {"circuits": [each.to_json() for each in between]} if inputs else {}
        return console.document(found.to_json() | extra)
    if not found.families:
        console.say(f"No families of {found.layer} under {group} beyond chance.")
    else:
        rows = [
            (
                each.label,
                len(each.family.members),
                "  ".join(
                    f"{unit}@{element:.0f}" if group in ("rotation", "hue") else f"{unit}@{element:.2g}"
                    for element, unit in sorted(zip(each.family.elements, each.family.members, strict=True))
                ),
                *(f"{each.evidence[kind]:.2f}" if kind in each.evidence else "" for kind in KINDS),
                f"{each.family.gap:.3g} of {each.family.period:.3g}",
                f"{each.family.corrected:.2g}",
            )
            for each in found.families
        ]
        head = ("family", "units", "unit@element", *KINDS, "largest gap", "corrected p")
        console.table(head, rows, right=("units", *KINDS, "corrected p"))
    for kind, units in found.invariant.items():
        console.say(f"By {kind}: {len(units)} units that the group hardly moves, {len(found.dead[kind])} dead.")
    if found.score is not None:
        s = found.score
        console.say(
            f"Against the taxonomy: adjusted Rand index {s.rand:.2f} (p {s.finding.p:.2g}), V-measure "
            f"{s.v_measure:.2f}, over the {s.covered:.0%} of units in families."
        )
        best = sorted((m for m in s.matches if m.found is not None), key=lambda m: -m.f1)
        console.table(
            ("label", "units", "F1", "precision", "recall"),
            [(m.label, m.units, f"{m.f1:.2f}", f"{m.precision:.2f}", f"{m.recall:.2f}") for m in best],
            right=("units", "F1", "precision", "recall"),
        )
    if between:
        console.table(
            ("from", "to", "kind", "share explained", "corrected p", "numbers"),
            [
                (each.source, each.target, each.circuit.kind, f"{each.circuit.finding.effect:.2f}",
                 f"{each.circuit.finding.corrected:.2g}", "{} instead of {}".format(*each.circuit.numbers[::-1]))
                for each in between
            ],
            right=("share explained", "corrected p"),
        )  # fmt: skip
    for figure in figures:
        console.say(f"Open {figure}")
    return None
