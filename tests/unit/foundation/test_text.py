"""What leaves raylot as text holds no secrets and nothing that steers a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line, safe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://key:pass@bucket/folder", "s3://***@bucket/folder"),
        ("cannot reach postgresql://me:p%40ss@host:5432/db, sorry",
         "cannot reach postgresql://***@host:5432/db, sorry"),
        ("s3://bucket?access_key=A1&region=x&secret_key=B2",
         "s3://bucket?access_key=***&region=x&secret_key=***"),
        ("connect(password='hunter2', user='me')", "connect(password='***', user='me')"),
        ("aws_session_token=abc123;", "aws_session_token=***;"),
        ("X-Amz-Credential=AKIA/2026&X-Amz-Signature=fe",
         "X-Amz-Credential=***&X-Amz-Signature=***"),
        ("postgresql://me:p/s#s@host/db", "postgresql://***@host/db"),
        ("http://u:p@one,http://v:q@two", "http://***@one,http://***@two"),
        ("{'AWS_SECRET_ACCESS_KEY': 'a/b', \"token\": \"c\"}",
         "{'AWS_SECRET_ACCESS_KEY': '***', \"token\": \"***\"}"),
        ("login(password='two words', n=1)", "login(password='***', n=1)"),
        ("abfs://c?sv=1&sig=a%2Fb", "abfs://c?sv=1&sig=***"),
        ("DB_PASS=a;AccountKey=b==;PWD=c", "DB_PASS=***;AccountKey=***;PWD=***"),
        ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer ***"),
        ("password: hunter2", "password: ***"),
        ("dbpassword: hunter2", "dbpassword: ***"),
        ("cannot log in (user: me, password: hunter2)", "cannot log in (user: me, password: ***)"),
        ("password: hunter2\nuser: me", "password: ***\nuser: me"),
        ("token: 'two words' is old; secret: a user: me",
         "token: '***' is old; secret: *** user: me"),
        ("aws_secret_access_key: a/b+c is wrong", "aws_secret_access_key: *** is wrong"),
        ("x-amz-security-token:Fwo//x", "x-amz-security-token:***"),
        ("Authorization: token abc", "Authorization: token ***"),
        ("{'Authorization': 'abc'}", "{'Authorization': '***'}"),
        ("authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=fe",
         "authorization: AWS4-HMAC-SHA256 ***, Signature=***"),
        ("password=1234, apikey=a, accountKey=b", "password=***, apikey=***, accountKey=***"),
        # no secrets
        ("sig=0.4, forward pass=3, batch_key=7, 'sig': 1e-5",
         "sig=0.4, forward pass=3, batch_key=7, 'sig': 1e-5"),
        ("monkey=five, bypass=all, turkey: a", "monkey=five, bypass=all, turkey: a"),
        ("second pass: done", "second pass: done"),
        ("http://store:9000/@user", "http://store:9000/@user"),
        ("no password: the token is missing", "no password: the token is missing"),
        ("set RAY_AUTH_MODE=token", "set RAY_AUTH_MODE=token"),
        ("sparsity=1.2: must lie in [0, 1)", "sparsity=1.2: must lie in [0, 1)"),
        ("tokens=128, key=3", "tokens=128, key=3"),
        ("write to me@example.org", "write to me@example.org"),
        ("https://example.org/@user/page", "https://example.org/@user/page"),
    ],
)  # fmt: skip
def test_secrets_in_a_text_are_masked(text: str, expected: str) -> None:
    assert safe(text) == expected


def test_values_of_secret_variables_are_masked_wherever_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "WANDB_API_KEY": "0123456789abcdef",
        "MY_PASSWORD": "short", "RAY_AUTH_TOKEN_PATH": "/home/me/token",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    text = "denied (wJalrXUtnFEMI, 0123456789abcdef); short, /home/me/token"
    assert safe(text) == "denied (***, ***); short, /home/me/token"
    assert str(OptionError(text)) == "denied (***, ***); short, /home/me/token"


def test_secrets_of_the_environment_are_masked_as_uris_and_lines_hold_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:pass%2Fword-1@host:5000")
    monkeypatch.setenv("SIGNING_KEY", "-----BEGIN KEY-----\nabc\n-----END KEY-----")
    monkeypatch.setenv("MY_SECRET", "abc+def/ghi")
    assert safe("user me, pass%2Fword-1 or pass/word-1") == "user me, *** or ***"
    assert one_line("-----BEGIN KEY-----\nabc\n-----END KEY----- is wrong") == "*** is wrong"
    assert safe("GET /?k=abc%2Bdef%2Fghi") == "GET /?k=***"


@pytest.mark.parametrize(
    "part",
    ["a-", "token", "token=", "http://u:", "akey ", "'", '"token":', "token: ", "token:",
     "x-token:", "password: a ", "Authorization:", "sig=1 "],
)  # fmt: skip
def test_the_time_for_a_long_text_grows_with_its_length_alone(part: str) -> None:
    """With the square of it, each of these would take from minutes to hours."""
    assert one_line(part * 100_000 + "; end", 5) == "... ; end"


@given(st.text())
def test_every_text_is_safe_to_print(text: str) -> None:
    shown = safe(text)
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert safe(shown) == shown
    line = one_line(text, 20)
    assert "\n" not in line
    assert len(line) <= len("... ") + 20


def test_the_working_directory_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/me/project")
    monkeypatch.setenv("OLDPWD", "/home/me/another")
    assert safe("/home/me/project/results, /home/me/another") == (
        "/home/me/project/results, /home/me/another"
    )


def test_control_characters_are_shown_as_such() -> None:
    assert safe("\x1b]0;owned\x07\x9b31mred\r") == r"\x1b]0;owned\x07\x9b31mred\r"
    assert one_line("two\n\tlines ") == "two lines"


class _MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def test_an_error_without_words_is_a_line_too() -> None:
    assert one_line(_MuteError()) == "(its text cannot be had: ValueError)"
