"""`python -m slipway.serving`: serve with the settings in the environment."""

import gc

gc.disable()  # until the server has started: hardly anything of what is imported and loaded is garbage

import sys  # noqa: E402

from slipway.problem import SlipwayError  # noqa: E402
from slipway.serving.server import bind, run  # noqa: E402
from slipway.serving.settings import Settings  # noqa: E402

try:
    settings = Settings.from_environment()
    run(settings, bind(settings))
except SlipwayError as error:
    sys.exit(str(error))
