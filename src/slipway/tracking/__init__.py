"""MLflow: the record of every candidate, and the registry of models."""

from slipway.tracking.registry import Tracked, set_alias, set_tags, track

__all__ = ["Tracked", "set_alias", "set_tags", "track"]
