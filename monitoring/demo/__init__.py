"""The whole turn of the loop, seen in minutes: `make demo` (docs/loop.md)."""
