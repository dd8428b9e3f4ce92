"""What must hold of the data as a whole. What must hold of each field is derived from the schema already."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

# Shares of the species in the published records (Gorman, Williams and Fraser 2014, doi:10.1371/journal.pone.0090081).
SPECIES = {"Adelie": 0.44, "Chinstrap": 0.20, "Gentoo": 0.36}


def expectations() -> list[Expectation]:
    """List the project's own expectations (Great Expectations' gallery names them all)."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=300),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["species", "sample"]),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="species",
            partition_object={"values": list(SPECIES), "weights": list(SPECIES.values())},
            threshold=0.1,
        ),
        gxe.ExpectColumnMeanToBeBetween(column="body_mass_g", min_value=3900, max_value=4500),
    ]
