"""From the files in `data/` to a table with the schema's columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(folder: Path) -> pd.DataFrame:
    """Read the sales: one row for each, index 1 for the first."""
    import pandas as pd

    sales = pd.read_csv(folder / "sales.csv", dtype="str", keep_default_na=False, na_values=[""])
    sales.index += 1
    return sales
