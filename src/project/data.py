"""From the files in `data/` to a table with the schema's columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# The recorded column -> the schema's field. None: recorded, but not used here. A column that stands in neither
# list reaches validation under its recorded name and is refused there, so that no one's new column is lost unseen.
COLUMNS = {
    "studyName": "season",
    "Sample Number": "sample",
    "Species": "species",
    "Region": None,
    "Island": "island",
    "Stage": None,
    "Individual ID": "individual",
    "Clutch Completion": None,
    "Date Egg": None,
    "Culmen Length (mm)": "bill_length_mm",
    "Culmen Depth (mm)": "bill_depth_mm",
    "Flipper Length (mm)": "flipper_length_mm",
    "Body Mass (g)": "body_mass_g",
    "Sex": "sex",
    "Delta 15 N (o/oo)": None,
    "Delta 13 C (o/oo)": None,
    "Comments": None,
}
NOT_SAMPLED = "Adult not sampled."


def load(folder: Path) -> pd.DataFrame:
    """Read the raw records: one row for each penguin that was measured, index 1 for the file's first record."""
    import pandas as pd

    raw = pd.read_csv(folder / "penguins-raw.csv", na_values=["NA"], keep_default_na=False, index_col=False)
    raw.index += 1
    if "Comments" in raw:
        noted = raw["Comments"].astype("str").str.startswith(NOT_SAMPLED, na=False)
        raw = raw[~noted]  # a nest was noted, but no bird was measured
    table = raw.drop(columns=[name for name, field in COLUMNS.items() if field is None], errors="ignore")
    table = table.rename(columns={name: field for name, field in COLUMNS.items() if field})
    if "species" in table:
        table["species"] = table["species"].astype("str").str.split().str[0]  # "Adelie Penguin (Pygoscelis adeliae)"
    if "sex" in table:
        table["sex"] = table["sex"].astype("str").str.lower()
    if "season" in table:
        table["season"] = "20" + table["season"].astype("str").str[3:5]  # "PAL0708": the season of 2007 to 2008
    return table
