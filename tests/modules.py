"""A module that tests of the README and of LightningCLI train: small, real, with a validation metric."""

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class SmallModule(L.LightningModule):
    """A linear regression with its own data: 50 batches of 8 an epoch, or as many as its rows make."""

    def __init__(self, lr: float = 0.1, rows: int = 400) -> None:
        super().__init__()
        self.lr = lr
        self.rows = rows
        self.layer = nn.Linear(4, 1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(seed=1)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(seed=2)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._loader(seed=3)

    def _loader(self, seed: int) -> DataLoader[tuple[Tensor, ...]]:
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(self.rows, 4, generator=generator)
        targets = inputs.sum(1, keepdim=True) + torch.randn(self.rows, 1, generator=generator)
        return DataLoader(TensorDataset(inputs, targets), batch_size=8)
