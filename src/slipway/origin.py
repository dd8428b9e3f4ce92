"""What a model was made of, and what differs between two models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.versioning import file_at

PARAMS = "params.yaml"
SECTIONS = ("prepare", "model", "train")  # of params.yaml: they decide the bundle's content
FACTS = ("estimator", "runtime", "data", "versions", "row", "classes", "split")  # of the manifest


def parameters(root: Path, commit: str | None) -> dict[str, Any]:
    """Read the parameters that decide a bundle's content, at a commit or as they are here; none if that is no YAML."""
    import yaml

    try:
        text = file_at(root, commit, PARAMS) if commit else (root / PARAMS).read_text("utf-8")
        content = yaml.safe_load(text or "")
    except (UnicodeDecodeError, yaml.YAMLError):
        return {}
    return {name: content[name] for name in SECTIONS if name in content} if isinstance(content, dict) else {}


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Give what differs between two models' facts, flat, by names with dots."""
    one, other = _flat(a), _flat(b)
    return {name: (one.get(name), other.get(name)) for name in {**one, **other} if one.get(name) != other.get(name)}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
