"""The `slipway` command. Each command imports its modules when it is called, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from slipway.cli import compare, labels, learn, lineage, predict, release, scaffold, search, serve
from slipway.cli.console import EXIT_REFUSED, say
from slipway.problem import SlipwayError


class _Group(click.Group):
    """Lists commands in the order in which they are used, and shows errors meant for a person without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SlipwayError as error:
            say(f"slipway {ctx.invoked_subcommand}: {error}", error=True)
            ctx.exit(EXIT_REFUSED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="slipway")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The project's folder.")
@click.pass_context
def main(ctx: click.Context, root: Path) -> None:
    """Push code or data; a tested model goes out.

    \b
    Every day:
      slipway run       runs the pipeline where something changed, judges the candidate, records the run
      slipway report    shows the run on one page
      slipway search    finds better parameters of the model
      slipway promote   makes the candidate the champion, the model that serves
      slipway serve     serves the champion over HTTP
      slipway predict   predicts for files

    \b
    Once:
      slipway new TABLE --target COLUMN   makes a project of your own table
      slipway upgrade                     merges the newest release of the template
      slipway remove PART                 removes a part that you do not need: kubernetes, gitlab, ...

    Your problem is declared in src/project, its numbers in params.yaml.
    """
    ctx.obj = root


COMMANDS = (
    *(scaffold.new, scaffold.remove, scaffold.upgrade),
    *(learn.run, learn.prepare, learn.validate, learn.train, learn.evaluate, learn.gate, learn.track, learn.reproduce),
    *(release.promote, release.rollback, release.release, release.pin, release.propose, release.history),
    *(
        lineage.lineage,
        compare.compare,
        learn.report,
        search.search,
        predict.predict,
        serve.serve,
        serve.smoke,
        serve.monitor,
        labels.labels,
        serve.doctor,
    ),
)
for each in COMMANDS:
    main.add_command(each)
