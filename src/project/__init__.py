"""Which penguin is this? The only code that a fork edits: replace this folder's files by your own."""

from project.data import load
from project.expectations import expectations
from project.model import build
from project.schema import Observation, Penguin
from slipway.problem import Problem

problem = Problem(
    name="penguins",
    row=Penguin,
    record=Observation,
    target="species",
    group="individual",
    load=load,
    build=build,
    expectations=expectations,
)
