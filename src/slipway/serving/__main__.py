"""`python -m slipway.serving`: serve as the environment says."""

import sys

from slipway.problem import SlipwayError
from slipway.serving import run
from slipway.serving.settings import Settings

try:
    settings = Settings.from_environment()
    run(settings.bundle, settings)
except SlipwayError as error:
    sys.exit(str(error))
