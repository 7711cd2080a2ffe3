"""What a URI or a message shows of the credentials in it."""

from argparse import Namespace
from collections import UserList
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from lightning_lrsched import Cosine, MLflowTracker
from lightning_lrsched.masking import masked, masked_values, masked_yaml


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("http://ann:s3cret@host:5000/x", "http://***@host:5000/x", id="user and password"),
        pytest.param("https://t0ken@host", "https://***@host", id="token alone"),
        pytest.param("postgresql://ann:s3/cr@et@host/db", "postgresql://***@host/db", id="unquoted password"),
        pytest.param(
            "postgresql://a:p@ss/w:rd@db/mlflow?sslpassword=x&sslmode=on",
            "postgresql://***@db/mlflow?sslpassword=***&sslmode=on",
            id="two passwords",
        ),
        pytest.param(
            "mysql://host/db?user=a&password=s3cret&b=1", "mysql://host/db?user=a&password=***&b=1", id="query"
        ),
        pytest.param(
            "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dann%3BPWD%3Ds3cret&b=1",
            "mssql+pyodbc:///?odbc_connect=***&b=1",
            id="odbc",
        ),
        pytest.param("Server=db;Uid=ann;PWD=s3cret", "Server=db;Uid=ann;PWD=***", id="odbc string"),
        pytest.param(
            "https://a.blob.core.windows.net/c?sp=rw&sig=abc%2Bd",
            "https://a.blob.core.windows.net/c?sp=rw&sig=***",
            id="azure",
        ),
        pytest.param(
            "https://b.s3.amazonaws.com/f?X-Amz-Credential=AK%2Fus&X-Amz-Expires=9&X-Amz-Signature=0f",
            "https://b.s3.amazonaws.com/f?X-Amz-Credential=***&X-Amz-Expires=9&X-Amz-Signature=***",
            id="s3",
        ),
        pytest.param("sqlite:///mlflow.db", "sqlite:///mlflow.db", id="nothing to hide"),
    ],
)
def test_credentials_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert shown in repr(MLflowTracker(text))
    assert masked(f"cannot reach {text} now") == f"cannot reach {shown} now"


KEYS = ("api_key", "hf_token", "password", "secret", "token", "data.db-passwd", "AWS_SECRET_ACCESS_KEY", "credentials")


@pytest.mark.parametrize("key", KEYS)
def test_what_stands_under_the_key_of_a_secret_is_masked(key: str) -> None:
    assert masked_values({"a": [{key: "s3cret", "width": 8}]}) == {"a": [{key: "***", "width": 8}]}
    for text in (f"a:\n  - {key}: s3cret x\n    width: 8\n", f"'{key}': \"s3cret x\"\nwidth: 8\n"):
        shown = masked_yaml(text)
        assert "s3cret" not in shown
        assert masked_yaml(shown) == shown
        assert yaml.safe_load(shown) == masked_values(yaml.safe_load(text))


@pytest.mark.parametrize("key", ["max_tokens", "tokenizer", "key", "monkey", "width", "secretary"])
def test_other_keys_are_left_as_they_are(key: str) -> None:
    assert masked_values({key: "text"}) == {key: "text"}
    assert masked_yaml(f"{key}: text\n") == f"{key}: text\n"


def test_what_is_no_text_under_such_a_key_is_left_as_it_is() -> None:
    assert masked_values({"token": 7, "password": None, "secret": ""}) == {"token": 7, "password": None, "secret": ""}
    text = "token: null\nsecret:\n  path: x\ncredentials:\n- path: x\n"
    assert masked_yaml(text) == text


STYLES = [
    pytest.param("KEY: |\n  s3cret one\n\n  s3cret two\nwidth: 8\n", id="literal"),
    pytest.param("KEY: >-\n    s3cret one\n    s3cret two\n\nwidth: 8\n", id="folded"),
    pytest.param("KEY: |2+  # of the store\n   s3cret one\n  s3cret two\n\nwidth: 8\n", id="with an indicator"),
    pytest.param("a:\n- KEY: |\n    s3cret one\n  width: 8\n", id="in a list"),
    pytest.param("width: 8\nKEY: |\n  s3cret one\n  s3cret two", id="last, without an end"),
    pytest.param("KEY: |\r\n  s3cret one\r\n  s3cret two\r\nwidth: 8\r\n", id="with the line ends of Windows"),
    pytest.param("KEY: 's3cret one\n\n  s3cret two'\nwidth: 8\n", id="quoted, over lines"),
    pytest.param("KEY: s3cret one\n  s3cret two\nwidth: 8\n", id="plain, over lines"),
    pytest.param("KEY:\n  s3cret one\nwidth: 8\n", id="on the next line"),
    pytest.param("KEY: !!str |\n  s3cret one\nwidth: 8\n", id="behind a tag"),
    pytest.param("KEY: &it s3cret\nagain: *it\nwidth: 8\n", id="behind an anchor"),
    pytest.param("shared: &it |\n  s3cret one\nKEY: *it\nwidth: 8\n", id="behind an alias"),
    pytest.param("store: {host: db, KEY: s3cret, width: 8}\n", id="in braces"),
    pytest.param('{"store": {"KEY": "s3cret, one", "width": 8}}', id="json"),
    pytest.param("KEY:\n- s3cret\n- s3cret two\nwidth: 8\n", id="a list of them"),
    pytest.param("KEY: [s3cret, 's3cret two']\nwidth: 8\n", id="a list in brackets"),
    pytest.param("? KEY\n: s3cret one\nwidth: 8\n", id="behind a question mark"),
    pytest.param("a: 1\n---\nKEY: |\n  s3cret one\n", id="in the second document"),
    pytest.param("é: ü\nKEY: ~/s3cret\nother: 'ß'\nwidth: 8\n", id="beside other letters"),
]


@pytest.mark.parametrize("key", ["password", "hf_token"])
@pytest.mark.parametrize("text", STYLES)
def test_a_secret_is_masked_in_every_style_of_yaml(text: str, key: str) -> None:
    text = text.replace("KEY", key)
    shown = masked_yaml(text)
    assert "s3cret" not in shown
    assert masked_yaml(shown) == shown
    if "shared" not in text and "again" not in text:
        assert list(yaml.safe_load_all(shown)) == masked_values(list(yaml.safe_load_all(text)))
    else:
        assert yaml.safe_load(shown).keys() == yaml.safe_load(text).keys()


@pytest.mark.parametrize("text", STYLES[:6] + STYLES[7:8])
def test_a_secret_is_masked_in_what_is_not_quite_yaml(text: str) -> None:
    lines = masked_yaml("{% if it %}\n" + text.replace("KEY", "password"))
    assert "s3cret" not in lines
    assert text.count("width: 8") == lines.count("width: 8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("store: {password: s3cret}\n---\nb: [\n", "store: {password: '***'}\n---\nb: [\n"),
        ("password: &it [*it, s3cret]\n", "password: '***'\n"),
        ("password: !!binary &it czNjcmV0\nagain: *it\n", "password: &it '***'\nagain: *it\n"),
    ],
)
def test_what_is_odd_in_a_text_keeps_no_secret_in_it(text: str, shown: str) -> None:
    assert masked_yaml(text) == shown


def test_a_secret_is_masked_in_a_text_inside_the_text() -> None:
    text = "script: |\n  password: s3cret\n  width: 8\nwidth: 8\n"
    assert masked_yaml(text) == text.replace("s3cret", "'***'")


@dataclass
class Store:
    """Where data come from."""

    host: str = "db"
    password: str = "s3cret"
    inner: Any = None
    unseen: str = field(default="not shown", repr=False)


class Access:
    """Shows what it holds, and is no dataclass."""

    def __init__(self, **given: str) -> None:
        self.given = given

    def __repr__(self) -> str:
        return "Access({})".format(", ".join(f"{key}={value!r}" for key, value in self.given.items()))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Namespace(password="s3cret", width=8), {"password": "***", "width": 8}),
        (SimpleNamespace(api_key="s3cret", width=8), {"api_key": "***", "width": 8}),
        (Store(), {"host": "db", "password": "***", "inner": None}),
        ([Store(inner=Namespace(token="s3cret"))], [{"host": "db", "password": "***", "inner": {"token": "***"}}]),
        (
            {"a": Namespace(b={"c": (Store(),)})},
            {"a": {"b": {"c": [{"host": "db", "password": "***", "inner": None}]}}},
        ),
        (UserList([{"password": "s3cret"}]), [{"password": "***"}]),
        ({"tokens": 8, "token": {"s3cret"}}, {"tokens": 8, "token": ["***"]}),
        (Access(host="db", hf_token="s3cret, 'one'"), "Access(host='db', hf_token='***')"),
        ({"b": Access(password='s3"cret')}, {"b": "Access(password='***')"}),
        ({"password": Access(text="s3cret")}, {"password": "***"}),
        ({"a": {Access(token="s3cret")}}, {"a": ["Access(token='***')"]}),
    ],
)
def test_a_secret_inside_an_object_is_masked(value: Any, shown: Any) -> None:
    assert masked_values(value) == shown
    assert "s3cret" not in repr(masked_values(value))


@pytest.mark.parametrize("value", [Store(password=""), Namespace(width=8), Access(host="db"), torch.zeros(3), Cosine])
def test_an_object_without_a_secret_is_left_as_it_is(value: Any) -> None:
    assert masked_values({"it": value})["it"] is value


@pytest.mark.parametrize("value", [Store(password=""), Namespace(width=8)])
def test_a_section_under_such_a_key_is_left_as_it_is(value: Any) -> None:
    assert masked_values({"credentials": value})["credentials"] is value


def test_an_object_that_holds_itself_is_masked() -> None:
    store = Store()
    store.inner = [store]
    assert masked_values(store) == {"host": "db", "password": "***", "inner": ["..."]}
