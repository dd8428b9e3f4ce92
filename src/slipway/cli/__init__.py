"""The `slipway` command. Each command imports its modules when it is called, so that `--help` is quick."""

# Each of these modules adds its commands, in the order of `--help`.
# ruff: noqa: I001
from slipway.cli import scaffold, learn, release, models, search, predict, serve, labels
from slipway.cli.command import main

__all__ = ["labels", "learn", "main", "models", "predict", "release", "scaffold", "search", "serve"]
