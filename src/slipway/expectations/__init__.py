"""What must hold of the data: derived from the contract, checked and shown by Great Expectations."""

# Columns of the table that lays training and test rows side by side.
BOTH = "group in both parts"
ALIKE = "group under several spellings"
