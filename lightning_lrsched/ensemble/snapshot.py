"""SnapshotEnsemble: the members' predictions averaged, as one LightningModule."""

import copy
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MethodType
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from lightning_lrsched.checks import check_choice
from lightning_lrsched.ensemble.choice import choose_members
from lightning_lrsched.ensemble.members import EnsembleError, Member, fetched
from lightning_lrsched.ensemble.sharded import is_sharded, joined

_AVERAGES = ("probabilities", "logits")
_LENT = (
    *("on_test_start", "on_test_epoch_start", "on_test_epoch_end", "on_test_end"),
    *("on_test_batch_start", "on_test_batch_end"),
    *("on_validation_start", "on_validation_epoch_start", "on_validation_epoch_end", "on_validation_end"),
    *("on_validation_batch_start", "on_validation_batch_end"),
    *("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"),
    "training_step",
)
"""Hooks around the steps that a module lends, and the one other step that these may call."""


class SnapshotEnsemble(pl.LightningModule):
    r"""Averages the predictions of several checkpoints of one module.

    With probabilities, $p(x) = \frac{1}{M} \sum_m \mathrm{softmax}(f_m(x))$; ``forward`` returns $\log p$, which a
    cross entropy and an argmax take as logits, and ``predict_step`` returns $p$. With logits both return the mean of
    the members' outputs as they are: also for regression, and for modules that return probabilities.

    ``trainer.test`` and ``trainer.validate`` run the module's own ``test_step`` and ``validation_step``, the methods
    that they call and the hooks around them, where ``self(...)`` is answered by the ensemble. A step that calls a part
    of the module instead would measure the last member alone, and is refused.

    Args:
        members: the modules, the last one last: it lends its steps and attributes.
        average: ``"probabilities"`` or ``"logits"``.
        dim: dimension of the classes.

    Raises:
        EnsembleError: if there is no member.

    Source: Huang et al., Snapshot Ensembles, arXiv 1704.00109.
    """

    def __init__(self, members: Sequence[pl.LightningModule], average: str = "probabilities", dim: int = -1) -> None:
        """Take the members."""
        super().__init__()
        check_choice("SnapshotEnsemble.average", average, _AVERAGES, "average='probabilities'")
        if not members:
            raise EnsembleError("SnapshotEnsemble needs at least one member")
        self.members = torch.nn.ModuleList(members)
        self.average = average
        self.dim = dim
        self._asked = False

    @classmethod
    def from_checkpoints(
        cls,
        source: Any,
        module: type[pl.LightningModule] | pl.LightningModule,
        *,
        average: str = "probabilities",
        dim: int = -1,
        last: int | None = None,
        worse: str = "warn",
        tracking_uri: str | None = None,
        **arguments: Any,
    ) -> "SnapshotEnsemble":
        """Return the ensemble of checkpoints.

        Args:
            source: paths, a folder of a CycleCheckpoint, an MLflow run's id, or a CycleCheckpoint: of the latter three
                the ends of completed cycles.
            module: the module's class, or a module that is copied for each member.
            average: ``"probabilities"`` or ``"logits"``.
            dim: dimension of the classes.
            last: take the last so many; None for all.
            worse: what to do with a member that is much worse than the last one, see `much_worse`: ``"warn"``,
                ``"refuse"`` to leave it out, or ``"allow"``.
            tracking_uri: where the MLflow run is.
            arguments: what the class is constructed with, beside the hyper-parameters that it saved.

        Raises:
            EnsembleError: if there are no members, or one does not fit the module.
        """
        members = choose_members(source, tracking_uri, last=last, worse=worse, caller=cls.__name__)
        return cls([load_member(one, module, tracking_uri, **arguments) for one in members], average, dim)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean of the members' outputs, or the logarithm of the mean of their probabilities.

        Raises:
            EnsembleError: if the outputs are no tensors, or have no classes that could have probabilities.
        """
        self._asked = True
        outputs = torch.stack([self._tensor(member(*args, **kwargs)) for member in self.members])
        if self.average == "logits":
            return outputs.mean(0)
        batch = args[0] if args else None
        of_batch = isinstance(batch, Tensor) and batch.dim() > 1 and outputs.shape[1:] == batch.shape[:1]
        if of_batch or outputs.dim() == 1 or outputs[0].shape[self.dim : self.dim + 1 or None] == (1,):
            raise EnsembleError(
                f"{type(self._last).__name__} returns one value for each example, and probabilities need one for each "
                "class. For regression and for a single logit average the outputs: average='logits', --average logits"
            )
        return outputs.log_softmax(self.dim if self.dim < 0 else self.dim + 1).logsumexp(0) - torch.log(
            torch.tensor(float(len(outputs)))
        )

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        """Do the module's own test step."""
        return self._borrowed("test_step", *args, **kwargs)

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """Do the module's own validation step."""
        return self._borrowed("validation_step", *args, **kwargs)

    def predict_step(self, batch: Any, batch_idx: int = 0, dataloader_idx: int = 0) -> Tensor:
        """Return probabilities, or mean outputs; of a batch with targets the first part is what is asked."""
        output: Tensor = self(batch[0] if isinstance(batch, list | tuple) else batch)
        return output.exp() if self.average == "probabilities" else output

    def configure_optimizers(self) -> None:
        """Refuse: an ensemble is not trained.

        Raises:
            EnsembleError: always.
        """
        raise EnsembleError(f"a SnapshotEnsemble is not trained. Fit a {type(self._last).__name__} instead")

    def __getattr__(self, name: str) -> Any:
        """Return what the last member has and the ensemble has not: a setting, a loss; a method, as the ensemble's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in ("members", "_modules", "_parameters", "_buffers"):
                raise
            method = inspect.getattr_static(type(self._last), name, None)
            return MethodType(method, self) if inspect.isfunction(method) else getattr(self._last, name)

    def _tensor(self, output: object) -> Tensor:
        """Return what a member answers, if it can be averaged."""
        if isinstance(output, Tensor):
            return output
        raise EnsembleError(
            f"{type(self._last).__name__}.forward returns a {type(output).__name__}, and only a tensor can be "
            "averaged. Have forward() return what is to be averaged"
        )

    @property
    def _last(self) -> pl.LightningModule:
        """The member that lends its steps and attributes."""
        last = self.members[-1]
        assert isinstance(last, pl.LightningModule)
        return last

    def _borrowed(self, step: str, *args: Any, **kwargs: Any) -> Any:
        """Run a step of the module with the ensemble in the module's place."""
        owner = type(self._last)
        self._asked = False
        result = getattr(owner, step)(self, *args, **kwargs)
        if not self._asked:
            raise EnsembleError(
                f"{owner.__name__}.{step} does not call self(...), so it would measure the last member alone. Write "
                f"forward(), and let {step} call self(batch) where it calls a part of the module now"
            )
        return result


def _lent(name: str) -> Callable[..., Any]:
    """Return a hook of the ensemble: the module's own, with the ensemble in the module's place."""

    def hook(self: SnapshotEnsemble, *args: Any, **kwargs: Any) -> Any:
        return getattr(type(self._last), name)(self, *args, **kwargs)

    return hook


for _name in _LENT:
    setattr(SnapshotEnsemble, _name, _lent(_name))


def load_member(
    member: Member | str | Path,
    module: type[pl.LightningModule] | pl.LightningModule,
    tracking_uri: str | None = None,
    **arguments: Any,
) -> pl.LightningModule:
    """Return a module with the weights of a checkpoint, which is read without unpickling anything else.

    A sharded one is put together first, see `ensemble.sharded.joined`.

    Args:
        member: a member, or the path of a checkpoint.
        module: the module's class, or a module to copy.
        tracking_uri: where the MLflow run of the member is.
        arguments: what the class is constructed with, beside the hyper-parameters that it saved.

    Raises:
        EnsembleError: if the checkpoint cannot be read so, or does not fit the module.
    """
    path = str(member.path if isinstance(member, Member) else member)
    try:
        with TemporaryDirectory() as folder:
            path = fetched(member, folder, tracking_uri) if isinstance(member, Member) else path
            file = joined(path, folder) if is_sharded(path) else path
            if isinstance(module, pl.LightningModule):
                loaded = _copied(module)
                loaded.load_state_dict(_weights(file))
            else:
                loaded = module.load_from_checkpoint(file, map_location="cpu", weights_only=True, **arguments)
    except Exception as error:
        name = type(module).__name__ if isinstance(module, pl.LightningModule) else module.__name__
        lines = [line.strip() for line in str(error).splitlines()[:2]]  # torch names the parameters in the second
        raise EnsembleError(
            f"{path} cannot be loaded into {name}: {' '.join(lines) or type(error).__name__}"
        ) from error
    return loaded.eval()


def _copied(module: pl.LightningModule) -> pl.LightningModule:
    """Return a copy of a module without its Trainer."""
    trainer, module._trainer = module._trainer, None
    try:
        return copy.deepcopy(module)
    finally:
        module._trainer = trainer


def _weights(path: str) -> dict[str, Tensor]:
    """Return the weights of a checkpoint."""
    from fsspec.core import url_to_fs

    fs, name = url_to_fs(path)
    with fs.open(name, "rb") as file:
        weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    return weights
