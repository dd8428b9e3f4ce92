"""What must hold of the data: derived from the contract, checked and shown by Great Expectations."""

BOTH = "individual in both parts"  # a column of the table that lays training and test rows side by side
