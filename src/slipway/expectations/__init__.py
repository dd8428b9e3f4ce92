"""Expectations on the data, derived from the contract; Great Expectations checks and renders them."""

# Columns of the table that compares training and test rows.
BOTH = "group in both parts"
LATER = "training rows that are not before the test set"
ALIKE = "group under several spellings"
