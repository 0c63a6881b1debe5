"""`micrographia families`: which units of a layer are one feature, turned, mirrored, in other hues or sizes?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights

if TYPE_CHECKING:
    from micrographia.jobs.equivariance import Between
    from micrographia.jobs.families import LayerFamilies
    from micrographia.jobs.family_answers import Answers
    from micrographia.study.taxonomy import Score


def families(
    model: Model,
    layer: Annotated[str, typer.Argument(help="the layer whose units are compared, like mixed3a")],
    weights: Weights = None,
    group: Annotated[str, typer.Option(help="rotation, reflection, hue or scale")] = "rotation",
    evidence: Annotated[str, typer.Option(help="weights, responses or both")] = "both",
    inputs: Annotated[str, typer.Option(help="an earlier layer: also the circuits from its families")] = "",
    answers: Annotated[
        bool, typer.Option("--answers", help="also what the families answer to, of known stimuli")
    ] = False,
    score: Annotated[str, typer.Option(help="file of units' families to compare with, or 'published'")] = "",
    images: Annotated[str | None, typer.Option(help="pictures to transform; the bundled ones without")] = None,
    trials: Annotated[int, typer.Option(min=19, help="surrogate networks of each of two kinds")] = 99,
    out: Annotated[Path | None, typer.Option(help="folder for the figures and all numbers")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Find families of units that are one feature under a group, with their nulls; none in noise."""
    from micrographia.jobs import equivariance, family_answers
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.families import KINDS, layer_families, scored, taxonomy, write_families
    from micrographia.publish.store import open_store

    graph = open_network(model, weights)
    # what is wrong with the options is said before the search
    if inputs:
        equivariance.checked(graph, inputs, layer, group)
    if answers:
        family_answers.checked(group)
    if score:
        taxonomy(score, graph.layer(layer).name, graph.layer(layer).channels)
    if store is not None:
        open_store(store)
    kinds = KINDS if evidence == "both" else (evidence,)
    with console.bars(json) as stages:
        found = layer_families(graph, layer, group, kinds, images, trials, seed=seed, stages=stages)
        between: Sequence[Between] = ()
        if inputs:
            sources = layer_families(graph, inputs, group, kinds, images, trials, seed=seed, stages=stages)
            between = equivariance.circuits(graph, sources, found, seed=seed)
        if score:
            found = scored(found, score, seed)
        told = (
            family_answers.family_answers(graph, found, seed=seed, stages=stages)
            if answers and found.families
            else None
        )
    homes = family_answers.branch_findings(
        graph, found.layer, {each.label: each.family.members for each in found.families}
    )
    figures = []
    if out is not None:
        figures = [*write_families(graph, found, out, store), *equivariance.write_circuits(between, out)]
        figures += [] if told is None else family_answers.write_answers(told, out)
    for line in found.notes:
        console.note(line)
    if json:
        extra: dict[str, Any] = {"circuits": [each.to_json() for each in between]} if inputs else {}
        extra |= {} if told is None else told.to_json()
        extra |= {"branches": [{"family": name} | each.to_json() for name, each in homes]} if homes else {}
        return console.document(found.to_json() | extra)
    _families(found)
    if homes:
        console.table(
            ("family", "most at home", "times chance", "p", "corrected p"),
            [(name, e.what, f"{e.effect:.1f}", f"{e.p:.2g}", f"{e.corrected:.2g}") for name, e in homes],
            right=("times chance", "p", "corrected p"),
        )
    if told is not None:
        _answers(told)
    if found.score is not None:
        _score(found.score)
    if between:
        _circuits(between)
    for figure in figures:
        console.say(f"Open {figure}")
    return None


def _families(found: LayerFamilies) -> None:
    from micrographia.jobs.families import KINDS

    if not found.families:
        console.say(f"No families of {found.layer} under {found.group} beyond chance.")
    else:
        form = ".0f" if found.group in ("rotation", "hue") else ".2g"
        rows = [
            (
                each.label,
                len(each.family.members),
                "  ".join(
                    f"{unit}@{element:{form}}"
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


def _answers(told: Answers) -> None:
    head = ("family", "follows", "units", "share", "off by", "corrected p")
    rows = [
        (name, one.stimuli, len(one.units), f"{one.share:.0%}", f"{one.off:.1f}°", f"{one.finding.corrected:.2g}")
        for name in told.labels
        for one in told.of(name)
    ]
    if rows:
        console.table(head, rows, right=head[2:])
    for name, counts in told.labels.items():
        console.say(f"{name}: {', '.join(f'{label} {count}' for label, count in counts.items())}.")


def _score(score: Score) -> None:
    console.say(
        f"Against the taxonomy: adjusted Rand index {score.rand:.2f} (p {score.finding.p:.2g}), V-measure "
        f"{score.v_measure:.2f}, over the {score.covered:.0%} of units in families."
    )
    best = sorted((m for m in score.matches if m.found is not None), key=lambda m: -m.f1)
    console.table(
        ("label", "units", "F1", "precision", "recall"),
        [(m.label, m.units, f"{m.f1:.2f}", f"{m.precision:.2f}", f"{m.recall:.2f}") for m in best],
        right=("units", "F1", "precision", "recall"),
    )


def _circuits(between: Sequence[Between]) -> None:
    head = ("from", "to", "kind", "share explained", "corrected p", "numbers")
    rows = [
        (
            each.source,
            each.target,
            each.circuit.kind,
            f"{each.circuit.finding.effect:.2f}",
            f"{each.circuit.finding.corrected:.2g}",
            "{} instead of {}".format(*each.circuit.numbers[::-1]),
        )
        for each in between
    ]
    console.table(head, rows, right=("share explained", "corrected p"))
    head = ("mixtures into", "opposite maps", "copies", "corrected p", "octaves apart", "corrected p")
    rows = [
        (
            each.target,
            f"{min(known.opposition):.2f} to {max(known.opposition):.2f}",
            f"{known.copies.effect:.2f}",
            f"{known.copies.corrected:.2g}",
            *(("", "") if (far := known.octaves) is None else (f"{far.effect:.2f}", f"{far.corrected:.2g}")),
        )
        for each in between
        if (known := each.mixtures) is not None
    ]
    console.table(head, rows, right=("copies", "octaves apart", "corrected p"))
