"""What does this house sell for?"""

from project.schema import House, Sale
from slipway.problem import Function, Problem

problem = Problem(
    name="houses",
    row=House,
    record=Sale,
    target="price",
    group="house_id",
    load=Function("project.data:load"),
    build=Function("project.model:build"),
    expectations=Function("project.expectations:expectations"),
)
