"""What does this house sell for?"""

from project.data import load
from project.expectations import expectations
from project.model import build
from project.schema import House, Sale
from slipway.problem import Problem

problem = Problem(
    name="houses",
    row=House,
    record=Sale,
    target="price",
    group="house_id",
    load=load,
    build=build,
    expectations=expectations,
)
