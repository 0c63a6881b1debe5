"""The command line: what goes wrong becomes one sentence and an exit code; the commands are in `commands`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import typer

from micrographia import console
from micrographia.commands.atlas import atlas
from micrographia.commands.bake import bake
from micrographia.commands.banding import banding
from micrographia.commands.branches import branches
from micrographia.commands.circuit import circuit
from micrographia.commands.families import families
from micrographia.commands.graph import graph
from micrographia.commands.handmade import handmade
from micrographia.commands.lab import lab
from micrographia.commands.labels import labels
from micrographia.commands.layers import layers
from micrographia.commands.models import models
from micrographia.commands.nmf import nmf
from micrographia.commands.observe import observe
from micrographia.commands.planted import planted
from micrographia.commands.rerun import rerun
from micrographia.commands.svd import svd
from micrographia.commands.toy import toy
from micrographia.commands.train import train
from micrographia.commands.tuning import tuning
from micrographia.commands.vis import vis
from micrographia.commands.weights import weights
from micrographia.errors import MicrographiaError

app = typer.Typer(
    name="micrographia",
    help="Put any trained convolutional network under the microscope.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

STOPPED = 130  # by Ctrl-C; the app returns it, where it does not raise

for command in (
    observe, vis, atlas, models, layers, weights, svd, tuning, labels, nmf, banding, branches,
    families, circuit, graph, lab, handmade, planted, rerun, bake, toy, train,
):  # fmt: skip
    app.command()(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code: 0 done, 2 the user's mistake, 1 a fault of the program, 130 stopped."""
    try:
        code = app(list(arguments), standalone_mode=False)
        if code == STOPPED:
            raise KeyboardInterrupt
    except MicrographiaError as error:
        return _refuse(str(error))
    except typer.TyperException as error:
        # a word that the command line does not know; without any words the help has been printed
        text = error.format_message().strip().rstrip(".")
        return _refuse(f"{text}. See micrographia --help.") if text else 2
    except (KeyboardInterrupt, typer.Abort):
        console.note("Stopped. The same command goes on where it left off.")
        return STOPPED
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.filename is None:
            return _fault(error)
        return _refuse(f"{error.filename}: {error.strerror}. Check the path and its permissions.")
    except Exception as error:
        return _fault(error)
    return code or 0


def _refuse(text: str) -> int:
    console.note(f"micrographia: {text}")
    return 2


def _fault(error: Exception) -> int:
    traceback.print_exception(error)
    console.note("micrographia: this is a fault of the program, not yours. Please report it with the lines above.")
    return 1


def main() -> None:
    """The entry point of the `micrographia` command."""
    sys.exit(run(sys.argv[1:]))
