"""Tables that strangers bring: public ones that installed packages carry, and made ones with codes, dates and text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

GOOD = ["great", "lovely", "perfect", "happy", "comfortable", "fresh", "kind", "bright", "quiet", "warm"]
BAD = ["broken", "late", "rude", "dirty", "loud", "cold", "stale", "slow", "awful", "sad"]
PLAIN = ["the", "room", "was", "and", "staff", "with", "a", "hotel", "we", "our", "very", "is", "in", "breakfast"]


def public(name: str) -> pd.DataFrame:
    """A table of scikit-learn's; classes by their names."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    classes = getattr(found, "target_names", [])
    labels = {code: str(label) for code, label in enumerate(classes)}
    return found.frame.assign(target=found.frame["target"].map(labels) if labels else found.frame["target"])


def characters(rows: int = 1200) -> pd.DataFrame:
    """Names of characters, and of what kind they are: of the Unicode Character Database, which Python carries."""
    kinds = {"L": "letter", "S": "symbol", "M": "mark"}
    known = [chr(code) for code in range(0x20, 0x3000) if unicodedata.name(chr(code), "")]
    names = {
        "name": [unicodedata.name(one).capitalize() for one in known],
        "block": [f"{ord(one):04X}"[:2] for one in known],
    }
    table = pd.DataFrame({**names, "kind": [kinds.get(unicodedata.category(one)[0]) for one in known]})
    return table.dropna().sample(rows, random_state=0)


def shares() -> pd.DataFrame:
    """Four years of a share's daily prices and volume, of Matplotlib's samples."""
    from matplotlib import cbook

    found = cbook.get_sample_data("goog.npz")["price_data"]
    table = pd.DataFrame({name: found[name] for name in ("date", "open", "high", "low", "close", "volume")})
    return table.assign(date=table["date"].dt.strftime("%Y-%m-%d"))


def reviews(rows: int = 400) -> pd.DataFrame:
    """Short texts, and whether they praise."""
    random = np.random.default_rng(0)
    praise = random.random(rows) < 0.55

    def text(good: bool) -> str:
        words = [*random.choice(PLAIN, 8), *random.choice(GOOD if good else BAD, 3)]
        return " ".join(random.permutation([*words, random.choice(BAD if good else GOOD)]))

    stars = np.where(praise, "positive", "negative")
    return pd.DataFrame(
        {"review": [text(one) for one in praise], "nights": random.integers(1, 9, rows), "stars": stars}
    )


def sales(rows: int = 600) -> pd.DataFrame:
    """Sales of houses, with all that a table may have that is no plain feature."""
    random = np.random.default_rng(0)
    codes = random.choice(["01067", "10115", "20095", "80331", "04109"], rows)
    area = random.normal(80, 25, rows).round(1).clip(20)
    price = (area * 3000 + np.where(codes == "80331", 90_000, 0) + random.normal(0, 20_000, rows)).round()
    built = random.integers(1900, 2020, rows).astype(str)
    return pd.DataFrame(
        {
            "sale_id": [f"S{number:05d}" for number in range(rows)],
            "house_id": random.integers(1000, 1300, rows),
            "zip": codes,
            "sold_on": pd.date_range("2019-01-01", periods=rows).strftime("%Y-%m-%d"),
            "Living Area (m2)": area,
            "built": np.where(random.random(rows) < 0.1, "NA", built),
            "country": random.choice(["DE", "AT", "NA"], rows, p=[0.8, 0.15, 0.05]),
            "currency": "EUR",
            "price_in_cent": (price * 100).astype(int),
            "heating": random.choice(["gas", "oil", "heat pump", ""], rows),
            "area_sqft": (area * 10.7639).round(4),
            "price": price,
        }
    )


# What is predicted of each public table, by what is special about it.
PUBLIC: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "binary": (partial(public, "breast_cancer"), "target"),
    "multi-class": (partial(public, "wine"), "target"),
    "regression": (partial(public, "diabetes"), "target"),
    "text": (characters, "kind"),
    "dated": (shares, "volume"),
}


def write(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as a stranger's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path
