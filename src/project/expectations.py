"""What must hold of the data as a whole. What must hold of each field is derived from the schema already."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

# Shares of the species in the published records (Gorman, Williams and Fraser 2014, doi:10.1371/journal.pone.0090081).
SPECIES = {"Adelie": 0.44, "Chinstrap": 0.20, "Gentoo": 0.36}


def expectations() -> list[Expectation]:
    """List the project's own expectations (Great Expectations' gallery names them all)."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=300, description="there are at least 300 records: each season's are added, none is taken away"
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["species", "sample"], description="a sample's number occurs once within its species"
        ),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="species",
            partition_object={"values": list(SPECIES), "weights": list(SPECIES.values())},
            threshold=0.05,
            description="the species' shares are about the published ones (Kullback-Leibler divergence under 0.05)",
        ),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="sex",
            partition_object={"values": ["female", "male"], "weights": [0.5, 0.5]},
            threshold=0.05,
            description="females and males are balanced (Kullback-Leibler divergence under 0.05)",
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="body_mass_g",
            min_value=3900,
            max_value=4500,
            description="the mean body mass is 3900 to 4500 g, as in the published records (4202 g)",
        ),
        gxe.ExpectColumnMedianToBeBetween(
            column="flipper_length_mm",
            min_value=190,
            max_value=205,
            description="the median flipper is 190 to 205 mm long, as in the published records (197 mm)",
        ),
    ]
