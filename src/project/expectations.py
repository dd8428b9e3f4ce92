"""What must hold of the data as a whole. What must hold of each field is derived from the schema already.

The figures are those of the published records (Gorman, Williams and Fraser 2014, doi:10.1371/journal.pone.0090081).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

SPECIES = {"Adelie": 0.44, "Chinstrap": 0.20, "Gentoo": 0.36}  # shares
MEAN_MASS = {"female": (3700, 4000), "male": (4400, 4700)}  # bounds in g; published: 3862 and 4546


def expectations() -> list[Expectation]:
    """List the project's own expectations (Great Expectations' gallery names them all)."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=300, description="there are at least 300 records: each season's are added, none is taken away"
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["species", "sample"], description="a sample's number occurs once within its species"
        ),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="sex",
            partition_object={"values": ["female", "male"], "weights": [0.5, 0.5]},
            threshold=0.05,
            description="females and males are balanced (Kullback-Leibler divergence under 0.05)",
        ),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="species",
            partition_object={"values": list(SPECIES), "weights": list(SPECIES.values())},
            threshold=0.05,
            description="the species' shares are about the published ones (Kullback-Leibler divergence under 0.05)",
        ),
        *(
            gxe.ExpectColumnMeanToBeBetween(
                column="body_mass_g",
                row_condition=Column("sex") == sex,
                min_value=low,
                max_value=high,
                description=f"the mean body mass of a {sex} is {low} to {high} g: no other unit, no swapped labels",
            )
            for sex, (low, high) in MEAN_MASS.items()
        ),
        gxe.ExpectColumnMedianToBeBetween(
            column="flipper_length_mm",
            min_value=190,
            max_value=205,
            description="the median flipper is 190 to 205 mm long, as in the published records (197 mm)",
        ),
    ]
