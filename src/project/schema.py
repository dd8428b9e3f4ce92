"""What a row is. Everything else (expectations, request model, drift bins, form) is derived from here."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from slipway.problem import Unit


class Penguin(BaseModel):
    """What one can observe of a penguin in the field. The model sees these fields and no others."""

    species: Annotated[
        Literal["Adelie", "Chinstrap", "Gentoo"],
        Field(description="Species, which is plain to see", examples=["Gentoo"]),
    ]
    island: Annotated[
        Literal["Biscoe", "Dream", "Torgersen"] | None,
        Field(description="Island of the Palmer Archipelago where the nest is; may be unknown", examples=["Biscoe"]),
    ] = None
    bill_length_mm: Annotated[
        float,
        Field(ge=25, le=70, description="Length of the bill's upper ridge (culmen)", examples=[46.1]),
        Unit("mm"),
    ]
    bill_depth_mm: Annotated[
        float,
        Field(ge=10, le=25, description="Depth of the bill's upper ridge (culmen)", examples=[13.2]),
        Unit("mm"),
    ]
    flipper_length_mm: Annotated[
        float,
        Field(ge=150, le=250, description="Length of a flipper", examples=[211.0]),
        Unit("mm"),
    ]
    body_mass_g: Annotated[
        float,
        Field(ge=2000, le=7500, description="Weight of the bird", examples=[4500.0]),
        Unit("g"),
    ]


class Observation(Penguin):
    """A recorded penguin: what was observed, what the laboratory found, and what tells one record from another."""

    sex: Annotated[Literal["female", "male"], Field(description="What is predicted; found from a blood sample")]
    individual: Annotated[str, Field(description="Identifier of the bird; it may be seen in several seasons")]
    season: Annotated[int, Field(ge=2007, le=2100, description="Year in which the breeding season began")]
    sample: Annotated[int, Field(ge=1, description="Number of the sample within its species")]
