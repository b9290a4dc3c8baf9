"""`seis-tf`: the commands by the order of the work. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seis_tf import __version__
from seis_tf.commands import console, data, judging, searching, serving, training
from seis_tf.settings.base import OptionError

app = typer.Typer(
    name="seis-tf",
    help="From raw geophysical records to served answers, on Keras and TensorFlow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        console.out.print(f"seis-tf {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show TensorFlow's own messages.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    console.set_verbose(verbose)


for _module in (data, training, searching, judging, serving):
    _module.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line: status 0 done, 1 the data or the run is at fault, 2 wrong usage."""
    try:
        app(args=arguments, standalone_mode=True)
    except OptionError as error:
        console.fail(" ".join(str(error).split()))
        sys.exit(2)
    except (ValueError, OSError) as error:
        console.fail(" ".join(str(error).split()))
        sys.exit(1)
    except ImportError as error:
        console.fail(f"{error}; install the extra that this command needs: pip install 'seis_tf[serve]'")
        sys.exit(1)
    except KeyboardInterrupt:
        console.fail("stopped; what was finished is kept, and the same command (for train with --resume) goes on")
        sys.exit(130)
