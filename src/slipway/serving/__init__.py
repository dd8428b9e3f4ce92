"""The service: a FastAPI application over a bundle, made and extended in `src/project/app.py`. See docs/serving.md."""

from slipway.serving.app import Application, create_app
from slipway.serving.model import LoadedModel, Model, loaded_model
from slipway.serving.problems import ProblemDetails
from slipway.serving.settings import Settings

__all__ = ["Application", "LoadedModel", "Model", "ProblemDetails", "Settings", "create_app", "loaded_model"]
