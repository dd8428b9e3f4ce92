"""The score on rows that the model was not trained on."""


def test_score(model, test, threshold):
    assert model.score(test) >= threshold  # 0.85, in params.yaml
