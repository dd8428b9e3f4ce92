def test_the_data_at_hand_is_as_expected(check, table):
    assert check(table).failures == []
