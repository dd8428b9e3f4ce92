from dataclasses import replace

import numpy as np
import pytest
from onnx import numpy_helper
from pydantic import TypeAdapter
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from slipway.compile.converters import convert
from slipway.compile.parity import DisagreementError, Probe, in_batches, largest_difference, probe
from slipway.contract import Column, Contract
from slipway.model.runtimes import Output, skops
from slipway.model.runtimes.onnx import load

NUMBERS = ["height", "petals", "scented"]


def predicting(estimator, classes):
    return lambda arrays: skops.predict(estimator, arrays, classes=classes, threads=1)


@pytest.fixture
def part(case):
    return case.only(NUMBERS)


def check(part, estimator, change):
    """Compile, change the graph, and compare what it answers with the estimator."""
    classes = len(part.kinds.classes)
    part.fit(estimator)
    probes = probe(part.contract, part.arrays, predicting(estimator, classes), seed=0)
    model = convert(estimator, part.contract)
    change(model.graph)
    runtime = load(model.SerializeToString(), classes=classes, threads=1)
    return largest_difference(probes, runtime.run, 1e-5)


def test_an_unchanged_graph_agrees(part):
    assert check(part, make_pipeline(StandardScaler(), LogisticRegression()), lambda graph: None) < 1e-12


def test_a_graph_with_another_coefficient_is_refused(part):
    def change(graph):
        coefficients = next(item for item in graph.initializer if item.name.startswith("_coef"))
        coefficients.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(coefficients) * 1.01, coefficients.name))

    with pytest.raises(DisagreementError, match=r"the probabilities of .* of 150 training rows differ, by up to 0\.0"):
        check(part, make_pipeline(StandardScaler(), LogisticRegression()), change)


def test_a_graph_that_answers_the_least_probable_class_is_refused(part):
    def change(graph):
        next(node for node in graph.node if node.output[0] == "_class").op_type = "ArgMin"

    with pytest.raises(
        DisagreementError, match="by the estimator's probabilities, the labels of 150 of 150 training rows"
    ):
        check(part, make_pipeline(StandardScaler(), LogisticRegression()), change)


def test_thresholds_rounded_to_float32_are_noticed_though_no_training_row_shows_them(part):
    def change(graph):
        trees = next(node for node in graph.node if node.op_type == "TreeEnsembleRegressor")
        values = next(item for item in trees.attribute if item.name == "nodes_values_as_tensor")
        rounded = np.float32(numpy_helper.to_array(values.t)).astype(np.float64)
        values.t.CopyFrom(numpy_helper.from_array(rounded))

    with pytest.raises(DisagreementError, match="of 3,000 perturbed rows differ"):
        check(part, DecisionTreeClassifier(random_state=0), change)


def one_probe(values, probabilities=None):
    rows = {"a": np.zeros(len(values))}
    return [Probe("made", rows, Output(np.array(values), None if probabilities is None else np.array(probabilities)))]


def test_values_are_compared_relative_to_their_spread():
    probes = one_probe([0.0, 2000.0])  # a standard deviation of 1000
    assert largest_difference(probes, lambda _: Output(np.array([0.005, 2000.0]), None), 1e-5) == 5e-6
    with pytest.raises(DisagreementError, match="values of 1 of 2 made rows differ, by up to 2e-05 where 1e-05 is"):
        largest_difference(probes, lambda _: Output(np.array([0.02, 2000.0]), None), 1e-5)


def test_either_class_is_right_where_probabilities_tie():
    probes = one_probe([0], [[0.5, 0.5]])
    assert largest_difference(probes, lambda _: Output(np.array([1]), np.array([[0.5, 0.5]])), 1e-5) == 0


def test_a_label_that_is_not_the_most_probable_by_its_own_probabilities_is_refused():
    probes = one_probe([0], [[0.500004, 0.499996]])
    with pytest.raises(DisagreementError, match="by its own probabilities, the labels of 1 of 1 made rows"):
        largest_difference(probes, lambda _: Output(np.array([1]), np.array([[0.50001, 0.49999]])), 1e-5)


def test_answers_that_are_no_numbers_are_refused():
    probes = one_probe([0], [[np.nan, np.nan]])
    with pytest.raises(DisagreementError, match="the probabilities of 1 of 1"):
        largest_difference(probes, lambda _: probes[0].expected, 1e-5)


def nothing(arrays):
    return Output(np.zeros(len(next(iter(arrays.values())))), None)


def test_every_row_that_is_asked_is_one_that_the_contract_allows(case):
    rows = TypeAdapter(list[case.contract.model()])
    for item in probe(case.contract, case.arrays, nothing, seed=0):
        assert len(rows.validate_python(case.contract.rows(item.arrays))) == len(item.expected.values)


def test_perturbed_rows_reach_every_category_missing_values_and_new_numbers(case):
    perturbed = probe(case.contract, case.arrays, nothing, seed=0)[-1].arrays
    assert set(perturbed["colour"]) == {"blue", "red", "white"}
    assert set(perturbed["bed"]) == {"", "north", "south"}
    assert set(perturbed["scented"]) == {0, 1}
    assert np.isnan(perturbed["weight"]).any()
    assert not np.isnan(perturbed["height"]).any()
    assert not set(perturbed["petals"]) <= set(case.arrays["petals"])
    known = np.unique(case.arrays["height"])
    assert np.isin(perturbed["height"], known).mean() < 0.5
    assert np.isin(np.nextafter(known, np.inf), perturbed["height"]).any()
    assert np.isin(np.nextafter(known, 0), perturbed["height"]).any()


def test_bounds_that_are_excluded_are_not_reached():
    contract = Contract("Row", (Column("a", "number", above=0, below=1), Column("n", "integer", above=0, below=3)))
    edges = {"a": np.array([np.nextafter(0, 1), np.nextafter(1, 0)]), "n": np.array([1.0, 2.0])}
    perturbed = probe(contract, edges, nothing, seed=0)[-1].arrays
    assert ((perturbed["a"] > 0) & (perturbed["a"] < 1)).all()
    assert set(perturbed["n"]) == {1, 2}


def test_the_same_seed_asks_the_same_rows(case):
    first, again, other = (probe(case.contract, case.arrays, nothing, seed)[-1].arrays for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["height"], again["height"])
    assert (first["height"] != other["height"]).any()


def test_large_tables_are_sampled_and_predicted_in_batches():
    contract = Contract("Row", (Column("a", "number"),))
    asked = []

    def predict(arrays):
        asked.append(len(arrays["a"]))
        return nothing(arrays)

    probes = probe(contract, {"a": np.arange(100_000.0)}, predict, seed=0)
    assert [len(item.expected.values) for item in probes] == [20_000] * 3
    assert max(asked) <= 2_500


def test_without_probabilities_the_labels_must_be_the_same():
    probes = one_probe([0, 1, 1])
    assert largest_difference(probes, lambda _: Output(np.array([0, 1, 1]), None), 1e-5) == 0
    with pytest.raises(DisagreementError, match=r"^the labels of 2 of 3 made rows differ$"):
        largest_difference(probes, lambda _: Output(np.array([1, 0, 1]), None), 1e-5)


def test_probabilities_of_one_side_alone_are_refused():
    probabilities = np.array([[0.2, 0.8]])
    for probes, answer in (
        (one_probe([1]), Output(np.array([1]), probabilities)),
        (one_probe([1], probabilities), Output(np.array([1]), None)),
    ):
        with pytest.raises(DisagreementError, match=r"^only one of the two answers with probabilities$"):
            largest_difference(probes, lambda _, answer=answer: answer, 1e-5)


def test_another_number_of_classes_is_refused():
    with pytest.raises(DisagreementError, match=r"^3 classes instead of 2$"):
        largest_difference(one_probe([1], [[0.2, 0.8]]), lambda _: Output(np.array([1]), np.ones((1, 3)) / 3), 1e-5)


def test_probabilities_may_differ_by_the_tolerance_in_each_row():
    probes = one_probe([1, 1, 1], [[0.25, 0.75]] * 3)
    answer = Output(np.array([1, 1, 1]), np.array([[0.25, 0.75], [0.375, 0.625], [0.375, 0.625]]))
    assert largest_difference(probes, lambda _: answer, 0.125) == 0.125
    with pytest.raises(DisagreementError, match=r"^the probabilities of 2 of 3 made rows differ, by up to 0\.12 where"):
        largest_difference(probes, lambda _: answer, 0.1)


@pytest.mark.parametrize(("rows", "made"), [(1, 2_000), (100, 2_000), (101, 2_020), (1_000, 20_000), (1_001, 20_000)])
def test_rows_are_made_in_proportion_to_the_training_rows_within_bounds(rows, made):
    contract = Contract("Row", (Column("a", "number"), Column("b", "number")))
    a = np.arange(float(rows))
    training, resampled, perturbed = probe(contract, {"a": a, "b": -a}, nothing, seed=0)
    assert [item.kind for item in (training, resampled, perturbed)] == ["training", "resampled", "perturbed"]
    assert sorted(training.arrays["a"]) == list(a)  # each once
    assert (training.arrays["a"] == -training.arrays["b"]).all()
    assert {len(values) for item in (resampled, perturbed) for values in item.arrays.values()} == {made}
    assert set(resampled.arrays["a"]) <= set(a)
    if rows >= 100:  # each column by itself
        assert (resampled.arrays["a"] == -resampled.arrays["b"]).mean() < 0.1
        assert {0.0, rows - 1.0} <= set(np.concatenate([resampled.arrays["a"], -resampled.arrays["b"]]))


@pytest.mark.parametrize(("rows", "batches"), [(2_500, [2_500]), (2_501, [2_500, 1]), (5_000, [2_500, 2_500])])
def test_a_batch_has_a_bounded_size_and_the_answers_keep_their_order(rows, batches):
    asked = []

    def predict(arrays):
        asked.append(len(arrays["a"]))
        return Output(arrays["a"], np.stack([arrays["a"], -arrays["a"]], axis=1))

    a = np.arange(float(rows))
    answer = in_batches(predict, {"a": a, "b": a})
    assert asked == batches
    np.testing.assert_array_equal(answer.values, a)
    np.testing.assert_array_equal(answer.probabilities, np.stack([a, -a], axis=1))


def test_the_difference_is_the_largest_of_all_kinds_in_standard_deviations_of_the_first():
    kinds = [one_probe(values)[0] for values in ([0.0, 2000.0], [0.0, 4000.0], [7.0, 7.0])]  # the first: 1000
    answers = iter([[0.0, 2000.0], [1.0, 4000.0], [7.0, 7.5]])
    assert largest_difference(kinds, lambda _: Output(np.array(next(answers)), None), 1e-2) == 1e-3


def test_where_all_values_are_the_same_their_difference_itself_is_compared():
    def answer(value):
        return lambda _: Output(np.array([value, 7.0]), None)

    assert largest_difference(one_probe([7.0, 7.0]), answer(7.25), 0.25) == 0.25
    with pytest.raises(DisagreementError, match=r"^values of 1 of 2 made rows differ, by up to 0\.5 where 0\.25 is"):
        largest_difference(one_probe([7.0, 7.0]), answer(7.5), 0.25)


def perturbed(column, values):
    (name, arrays) = (column.name, {column.name: np.array(values)})
    return probe(Contract("Row", (column,)), arrays, nothing, seed=0)[-1].arrays[name]


def share(found, wanted):
    return np.isin(found, wanted).mean()


def test_numbers_are_moved_to_where_trees_split_and_to_both_sides_of_it():
    """Each of five places, each of five ways: a twenty-fifth of the rows, about."""
    known = np.array([0.1, 0.7, 1.3, 1000.7] * 250)
    found, values = perturbed(Column("a", "number"), known), np.unique(known)
    narrow = np.float32(values).astype(np.float64)
    places = {
        "the values": values,
        "between them": values[:-1] / 2 + values[1:] / 2,
        "between them as float32": narrow[:-1] / 2 + narrow[1:] / 2,
    }
    for name, place in places.items():
        assert 0.02 < share(found, place) < 0.1, name
        assert 0.02 < share(found, np.nextafter(place, np.inf)) < 0.1, name
        assert 0.02 < share(found, np.nextafter(place, -np.inf)) < 0.1, name
    assert 0.02 < share(found, narrow) < 0.1
    step = np.spacing(np.float32(1000.7))
    near = (found[np.abs(found - 1000.7) < 9 * step] - 1000.7) / step
    assert len(np.unique(near)) > 50  # anywhere within two steps of a float32, on both sides
    assert 1.5 < near.max() < 2.5
    assert -2.5 < near.min() < -1.5
    deviation = values.std()
    assert values[-1] + 0.1 * deviation < found.max() < values[-1] + 0.6 * deviation
    assert values[0] - 0.6 * deviation < found.min() < values[0] - 0.1 * deviation
    far = (found > 250) & (found < 450)  # half of a gap, reached by neither: anywhere between the smallest and largest
    assert 0.02 < far.mean() < 0.08
    assert len(np.unique(found[far])) > 0.9 * far.sum()


def test_a_value_that_is_always_the_same_is_moved_too():
    found = perturbed(Column("a", "number"), [5.0] * 100)
    assert 0.2 < np.abs(found - 5).max() < 0.6
    assert share(found, [5.0]) > 0.1


def test_values_at_the_limits_of_numbers_stay_finite():
    for largest in (1e160, np.finfo(np.float64).max):  # the square of the one is none, the other is a mark for missing
        found = perturbed(Column("a", "number"), [-largest, largest, 0.0])
        assert np.isfinite(found).all()
        assert {-largest, largest} <= set(found)


def test_whole_numbers_and_dates_are_moved_by_some_steps():
    for kind in ("integer", "date"):
        found = perturbed(Column("n", kind), [0.0, 100.0])
        assert set(found) == {float(here + step) for here in (0, 100) for step in range(-4, 5)}
        bounded = perturbed(Column("n", kind, minimum=-1, maximum=102), [0.0, 100.0])
        assert (bounded.min(), bounded.max()) == (-1, 102)


@pytest.mark.parametrize(
    ("column", "known", "missing"),
    [
        (Column("x", "number", optional=True), [1.0, np.nan, 2.0], np.nan),
        (Column("x", "boolean", optional=True), [0.0], np.nan),
        (Column("x", "category", categories=("a", "b"), optional=True), np.array(["a"] * 3, object), ""),
        (Column("x", "text", optional=True), np.array(["one", "two"], object), ""),
    ],
)
def test_a_tenth_of_what_may_be_missing_is(column, known, missing):
    found = perturbed(column, known)
    absent = np.isnan(found) if missing != "" else found == ""
    assert 0.07 < absent.mean() < 0.13
    required = replace(column, optional=False)
    known = [value for value in known if value == value]
    answered = perturbed(required, np.array(known))
    assert not (np.isnan(answered) if missing != "" else answered == "").any()


def test_texts_are_asked_for_as_they_are_and_put_together():
    found = perturbed(Column("t", "text"), np.array(["one", "two"], object))
    assert set(found) == {"one", "two", *(f"{a} {b}" for a in ("one", "two") for b in ("one", "two"))}
    assert 0.45 < share(found, ["one", "two"]) < 0.55


def test_classes_that_are_numbers_are_drawn_as_they_were_declared():
    assert set(perturbed(Column("c", "integer", categories=(2, 4, 8)), [2.0, 4.0])) == {2.0, 4.0, 8.0}


def test_a_column_of_which_nothing_is_known_is_asked_about_by_its_example():
    column = Column("a", "number", optional=True, examples=(40.0,))
    found = perturbed(column, [np.nan] * 50)
    assert share(found, [40.0]) > 0.05
    assert np.nanmax(np.abs(found - 40)) < 1


def test_where_features_are_derived_the_estimator_is_asked_about_those():
    def derived(rows):
        return {"double": rows["a"] * 2}

    contract = Contract("Row", (Column("a", "number"),))
    for item in probe(contract, {"a": np.arange(3.0)}, lambda rows: Output(rows["double"], None), 0, derived):
        assert list(item.arrays) == ["double"]
        np.testing.assert_array_equal(item.expected.values, item.arrays["double"])
