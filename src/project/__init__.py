"""Is this penguin female or male? The only code that a fork edits: replace this folder's files by your own."""

from project.schema import Observation, Penguin
from slipway.problem import Function, Problem

problem = Problem(
    name="penguins",
    row=Penguin,
    record=Observation,
    target="sex",
    group="individual",
    load=Function("project.data:load"),
    build=Function("project.model:build"),
    expectations=Function("project.expectations:expectations"),
)
