"""Makes `data/sales.csv`: sales of made-up houses, the same each time, some of them sold more than once."""

import csv
import random
import sys
from pathlib import Path

DISTRICTS = {"north": 60_000, "south": 90_000, "old town": 140_000}  # what the ground costs, in EUR
HOUSES, SALES = 500, 800


def house(number: int, chance: random.Random) -> dict[str, object]:
    """What does not change between two sales; the year is not known of every house."""
    area = round(min(max(chance.gauss(120, 40), 30), 400))
    return {
        "house_id": f"h{number:04}",
        "area": area,
        "rooms": max(1, round(area / 28 + chance.gauss(0, 0.7))),
        "district": chance.choice(list(DISTRICTS)),
        "built": chance.randint(1900, 2020) if chance.random() > 0.1 else "",
    }


def price(of: dict[str, object], chance: random.Random) -> int:
    """What somebody paid, in EUR."""
    built = of["built"] or 1960
    value = DISTRICTS[of["district"]] + 2400 * of["area"] + 9000 * of["rooms"] + 600 * (built - 1900)
    return round(value + chance.gauss(0, 20_000))


if __name__ == "__main__":
    chance = random.Random(0)
    houses = [house(number, chance) for number in range(HOUSES)]
    sold = houses + chance.choices(houses, k=SALES - HOUSES)
    with Path(sys.argv[1]).open("w", newline="") as file:
        writer = csv.DictWriter(file, [*houses[0], "price"])
        writer.writeheader()
        writer.writerows({**one, "price": price(one, chance)} for one in sold)
