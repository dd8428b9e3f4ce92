"""API keys: which of a file's lines are keys, which headers carry one, and when the file is read again."""

import os
import re
from pathlib import Path

import pytest

from slipway.problem import SlipwayError
from slipway.serving import keys as module
from slipway.serving.keys import Keys
from slipway.serving.problems import ProblemDetails


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(b"first\nsecond\n")
    return path


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The time, for a test to change."""
    clock = {"now": 100.0}
    monkeypatch.setattr(module.time, "monotonic", lambda: clock["now"])
    return clock


def allowed(keys: Keys, *headers: tuple[bytes, bytes]) -> bool:
    try:
        keys.check(dict(headers))
    except ProblemDetails:
        return False
    return True


def has(keys: Keys, key: bytes) -> bool:
    return allowed(keys, (b"x-api-key", key))


@pytest.mark.parametrize(
    ("header", "value", "answer"),
    [
        (b"x-api-key", b"first", True),
        (b"x-api-key", b"second", True),
        (b"x-api-key", b"third", False),
        (b"x-api-key", b"", False),
        (b"x-api-key", b"firs", False),
        (b"authorization", b"Bearer second", True),
        (b"authorization", b"bearer  second ", True),
        (b"authorization", b"BEARER third", False),
        (b"authorization", b"Basic second", False),
        (b"authorization", b"second", False),
        (b"authorization", b"Bearer", False),
        (b"cookie", b"first", False),
    ],
)
def test_a_key_comes_in_one_of_two_headers(file, header, value, answer):
    assert allowed(Keys(file), (header, value)) == answer


def test_a_request_without_a_key_is_told_how_to_send_one(file):
    with pytest.raises(ProblemDetails) as told:
        Keys(file).check({})
    problem = told.value
    assert (problem.status_code, problem.kind) == (401, "unauthorized")
    assert problem.detail == "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
    assert problem.headers == {"www-authenticate": "Bearer", "connection": "close"}


def test_a_bearer_token_counts_before_the_other_header_and_another_scheme_does_not(file):
    keys = Keys(file)
    assert not allowed(keys, (b"x-api-key", b"first"), (b"authorization", b"Bearer wrong"))
    assert allowed(keys, (b"x-api-key", b"first"), (b"authorization", b"Basic wrong"))
    assert not allowed(keys)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"# a comment\n  # another\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_key_is_refused_by_name(file, content):
    file.write_bytes(content)
    with pytest.raises(
        SlipwayError, match=f"^SLIPWAY_API_KEYS_FILE: {re.escape(str(file))} cannot be read or holds no"
    ):
        Keys(file)


def test_lines_are_keys_without_their_blanks_and_comments_are_none(file):
    file.write_bytes(b"\xef\xbb\xbffirst\r\n  second\t\n# third\n #fourth\nfif#th")
    keys = Keys(file)
    found = [key for key in (b"first", b"second", b"third", b"# third", b"#fourth", b"fif#th") if has(keys, key)]
    assert found == [b"first", b"second", b"fif#th"]


def test_what_is_no_file_is_refused_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        with pytest.raises(SlipwayError, match="cannot be read"):
            Keys(path)


def test_only_the_first_megabyte_is_read(file):
    file.write_bytes(b"#".ljust((1 << 20) - 6, b"-") + b"\nfirst" + b"\nsecond")
    assert (has(Keys(file), b"first"), has(Keys(file), b"second")) == (True, False)


def test_the_file_is_read_again_after_some_seconds_and_not_before(file, clock):
    keys = Keys(file)
    file.write_bytes(b"third\n")
    clock["now"] += 5
    assert (has(keys, b"first"), has(keys, b"third")) == (True, False)
    clock["now"] += 0.1
    assert (has(keys, b"first"), has(keys, b"third")) == (False, True)
    file.write_bytes(b"fourth\n")
    clock["now"] += 5
    assert has(keys, b"third")
    clock["now"] += 0.1
    assert has(keys, b"fourth")


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b"# none"), Path.unlink])
def test_a_file_that_was_spoiled_takes_no_key_away(file, clock, spoil):
    keys = Keys(file)
    spoil(file)
    clock["now"] += 6
    assert has(keys, b"second")


def test_openapi_calls_it_a_bearer_token(file):
    keys = Keys(file)
    assert (keys.scheme_name, keys.model.scheme) == ("ApiKey", "bearer")
