"""What a URI or a message shows of the credentials in it."""

import pytest
import yaml

from lightning_lrsched import MLflowTracker
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
    text = "token: null\nsecret:\n  path: x\ncredentials:\n- a\n"
    assert masked_yaml(text) == text
