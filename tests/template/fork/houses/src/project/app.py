"""The service: an ordinary FastAPI application. Add routes, dependencies and middleware to it (docs/serving.md)."""

from slipway.serving import create_app

app = create_app()
