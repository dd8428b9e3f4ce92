"""Slipway: push code or data; a tested model goes out."""


def __getattr__(name: str) -> str:
    """Give `slipway.__version__`, which is only looked up if somebody asks."""
    if name == "__version__":
        from importlib.metadata import version

        return version("slipway")
    raise AttributeError(f"module 'slipway' has no attribute {name!r}")
