"""Text as scikit-learn's vectorizers read it: the compiled model counts the same terms, in any language."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from slipway.compile import compile_estimator
from slipway.contract import Column, Contract, Target
from slipway.model.runtimes import load_runtime
from slipway.model.runtimes.skops import frame
from slipway.problem.params import Train

CONTRACT = Contract("Row", (Column("note", "text", optional=True),))
LIKED = Target(Column("liked", "boolean"), (False, True))
TEXTS = [
    "Größe und MASSE, größer als die Straße; STRASSE",
    "İstanbul'da IĞDIR ığdır istanbul",  # noqa: RUF001  (a letter of Turkish)
    "ΟΔΥΣΣΕΥΣ Ὀδυσσεύς ΣΑΣ σας",
    "東京は 大きい。東京 大きい",
    "good 👍🏽 bad 👎 good 👍🏽",
    "naïve café NAI\u0308VE cafe\u0301 ﬁne ﬃ",
    "one two  three\tone\nTWO the one and only",
    "",
    "a",
    "# ## tag#tag \x1e",
]
# Other texts than the vectorizers have seen: cases exchanged, terms that are new, none at all.
UNSEEN = (
    [text.swapcase() for text in TEXTS]
    + [f"{a} {b}" for a, b in zip(TEXTS, TEXTS[3:], strict=False)]
    + [
        "ẞ ǅ ﬀ",
        " ",
        "one\x1ftwo \x1f three",  # the separator between terms
    ]
)
VECTORIZERS = [
    "TfidfVectorizer()",
    "TfidfVectorizer(lowercase=False)",
    "TfidfVectorizer(strip_accents='unicode')",
    "TfidfVectorizer(strip_accents='ascii', sublinear_tf=True)",
    "TfidfVectorizer(ngram_range=(1, 3), max_features=20, norm='l1')",
    "TfidfVectorizer(ngram_range=(2, 2), stop_words='english', use_idf=False)",
    "TfidfVectorizer(analyzer='char', ngram_range=(1, 3), norm=None)",
    "TfidfVectorizer(analyzer='char_wb', ngram_range=(2, 5), binary=True)",
    r"CountVectorizer(token_pattern=r'\S+')",
    r"CountVectorizer(token_pattern=r'(?u)\b(\w)\w*\b')",
    "CountVectorizer(binary=True, min_df=2)",
]


def fitted(vectorizer, texts=TEXTS):
    arrays = {"note": np.array(texts * 2, dtype=object)}
    estimator = make_pipeline(make_column_transformer((vectorizer, "note")), LogisticRegression())
    return estimator.fit(frame(arrays), np.arange(len(texts) * 2) % 3 % 2), arrays


def compiled(estimator, arrays, contract=CONTRACT):
    return compile_estimator(estimator, contract, arrays, LIKED, Train(tolerance=1e-9))


@pytest.mark.parametrize("vectorizer", VECTORIZERS)
def test_seen_and_unseen_texts_of_any_language_are_answered_alike(vectorizer):
    estimator, arrays = fitted(eval(vectorizer))
    result = compiled(estimator, arrays)
    assert result.runtime == "onnx", result.reason
    model = load_runtime("onnx", result.model, classes=2, threads=1)
    texts = {"note": np.array([*TEXTS, *UNSEEN], dtype=object)}
    expected = estimator.predict_proba(frame(texts))
    np.testing.assert_allclose(model.run(texts).probabilities, expected, rtol=0, atol=1e-9)
    alone = [model.run({"note": np.array([text], dtype=object)}).probabilities[0] for text in texts["note"]]
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-9)


def test_one_text_may_be_read_in_several_ways_beside_other_columns():
    contract = Contract("Row", (Column("note", "text"), Column("size", "number")))
    arrays = {"note": np.array(TEXTS[:7] * 4, dtype=object), "size": np.arange(28.0)}
    columns = make_column_transformer(
        (TfidfVectorizer(), "note"),
        (CountVectorizer(analyzer="char", ngram_range=(2, 2)), "note"),
        (OneHotEncoder(handle_unknown="ignore"), ["note"]),
        ("passthrough", ["size"]),
    )
    estimator = make_pipeline(columns, LogisticRegression(max_iter=10_000)).fit(frame(arrays), np.arange(28) % 3 % 2)
    assert compiled(estimator, arrays, contract).runtime == "onnx"


def words(text):
    return text.split()


@pytest.mark.parametrize(
    ("vectorizer", "reason"),
    [
        (TfidfVectorizer(tokenizer=words, token_pattern=None), "a tokenizer of the project's own"),
        (CountVectorizer(preprocessor=str.upper), "a preprocessor of the project's own"),
        (CountVectorizer(analyzer=words), "an analyzer of the project's own"),
    ],
)
def test_code_of_the_projects_own_is_not_compiled_and_the_reason_says_so(vectorizer, reason):
    from slipway.compile.converters import convert

    estimator, _ = fitted(vectorizer)
    with pytest.raises(NotImplementedError, match=reason):
        convert(estimator, CONTRACT)
