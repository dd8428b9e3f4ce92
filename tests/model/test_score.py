"""The honest minimum: the score on rows that the model has not seen."""


def test_the_score_on_held_out_rows_reaches_the_floor(model, test_rows, test_target, minimum):
    assert model.score(test_rows, test_target) >= minimum
