"""Slipway's application with ordinary FastAPI routes."""

from slipway.serving import create_app

app = create_app(plain=True)
