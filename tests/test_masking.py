"""What a URI or a message shows of the credentials in it."""

import pytest

from lightning_lrsched import MLflowTracker
from lightning_lrsched.masking import masked


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
        pytest.param("sqlite:///mlflow.db", "sqlite:///mlflow.db", id="nothing to hide"),
    ],
)
def test_credentials_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert shown in repr(MLflowTracker(text))
    assert masked(f"cannot reach {text} now") == f"cannot reach {shown} now"
