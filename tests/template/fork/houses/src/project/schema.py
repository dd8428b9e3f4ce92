"""What a row is."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from slipway.problem import Unit


class House(BaseModel):
    """What is known of a house before it is sold."""

    area: Annotated[float, Field(gt=0, le=2000, description="Living area", examples=[120]), Unit("m2")]
    rooms: Annotated[int, Field(ge=1, le=40, description="Rooms, without kitchen and bath", examples=[4])]
    district: Annotated[Literal["north", "south", "old town"], Field(description="Part of the town")]
    built: Annotated[int | None, Field(ge=1500, le=2100, description="Year; may be unknown", examples=[1965])] = None


class Sale(House):
    """A house that was sold."""

    price: Annotated[float, Field(gt=0, description="What is predicted"), Unit("EUR")]
    house_id: Annotated[str, Field(description="Identifier of the house; it may be sold more than once")]
