"""Which fit was the last one to write to a run: a tag says so, and when that fit began."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_TAG = "lrsched.last_fit"


class Fit(NamedTuple):
    """A fit that writes to a run.

    Args:
        token: what it is known by.
        began: when it did, in milliseconds since the epoch.
    """

    token: str
    began: int

    def is_last(self, known: "Fit | None") -> bool:
        """Return whether no later fit has written to a run, as far as the run knows: it knows of one, or of none."""
        return known is None or known.token == self.token or known.began <= self.began


def last_fit(run: "Run") -> Fit | None:
    """Return the last fit that has written to a run; None where none has."""
    token, _, began = run.data.tags.get(_TAG, "").partition(" ")
    return Fit(token, int(began) if began.isdigit() else 0) if token else None


def note_last_fit(client: "MlflowClient", run_id: str, fit: Fit) -> None:
    """Have a run say that this fit is its last one."""
    client.set_tag(run_id, _TAG, f"{fit.token} {fit.began}", synchronous=True)
