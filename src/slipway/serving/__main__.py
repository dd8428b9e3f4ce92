"""`python -m slipway.serving`: serve with the settings in the environment."""

import sys

from slipway.problem import SlipwayError
from slipway.serving.server import bind, run
from slipway.serving.settings import Settings

try:
    settings = Settings.from_environment()
    run(settings, bind(settings))
except SlipwayError as error:
    sys.exit(str(error))
