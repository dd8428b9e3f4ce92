"""From the files in `data/` to a table with the schema's columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# The recorded column -> the schema's field. None: recorded, but not used here. A column that is not listed at all
# reaches validation under its recorded name and is refused there: a new column is never dropped silently.
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


def load(folder: Path) -> pd.DataFrame:
    """Read the raw records: one row for each penguin whose sex is known, index 1 for the file's first record.

    Rows without a sex are dropped: 11 of the published 344, for which there was no blood sample, the laboratory
    found nothing, or no bird was measured.
    """
    import pandas as pd

    # Everything is read as text, and only the empty cell and this file's NA are missing: pandas would guess, and turn
    # an identifier 007 into 7 or a country NA into nothing. The schema says which columns are numbers.
    raw = pd.read_csv(
        folder / "penguins-raw.csv", dtype="str", keep_default_na=False, na_values=["", "NA"], index_col=False
    )
    raw.index += 1
    table = raw.drop(columns=[name for name, field in COLUMNS.items() if field is None], errors="ignore")
    table = table.rename(columns={name: field for name, field in COLUMNS.items() if field})
    if "sex" in table:
        table = table[table["sex"].notna()].assign(sex=lambda rows: rows["sex"].str.lower())
    if "species" in table:
        table["species"] = table["species"].str.split().str[0]  # "Adelie Penguin (Pygoscelis adeliae)"
    if "season" in table:
        table["season"] = "20" + table["season"].str[3:5]  # "PAL0708": the season of 2007 to 2008
    return table
