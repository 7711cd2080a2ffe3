"""Experiments C and D: a character language model on CPython's own documentation, which every Python brings with it."""

import math
from collections.abc import Iterator
from pydoc_data.topics import topics

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader


class CharacterModel(L.LightningModule):
    """A small Transformer that predicts the next character.

    Args:
        lr: peak lr of AdamW.
        layers: Transformer layers.
        pre_norm: normalise before attention and feed-forward (True), or after the sum, as in the first Transformer.
        context: characters seen at once.
        symbols: characters that are told apart.
        beta2: AdamW's.
    """

    def __init__(
        self,
        lr: float = 1e-2,
        *,
        layers: int = 2,
        pre_norm: bool = True,
        context: int = 64,
        symbols: int = 103,
        beta2: float = 0.98,
    ) -> None:
        super().__init__()
        self.lr, self.beta2 = lr, beta2
        width = 64
        self.embed = nn.Embedding(symbols, width)
        self.place = nn.Parameter(0.02 * torch.randn(context, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=pre_norm)
        final = nn.LayerNorm(width) if pre_norm else None
        self.body = nn.TransformerEncoder(layer, layers, norm=final, enable_nested_tensor=False)
        self.head = nn.Linear(width, symbols)
        for each in self.body.layers:  # the encoder copies one layer; every layer shall begin differently
            for weight in each.parameters():
                if weight.dim() > 1:
                    nn.init.xavier_uniform_(weight)

    def forward(self, characters: Tensor) -> Tensor:
        """Return the scores of the character after each."""
        length = characters.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        scores: Tensor = self.head(self.body(self.embed(characters) + self.place[:length], mask=mask, is_causal=True))
        return scores

    def nats(self, characters: Tensor) -> Tensor:
        """Return the mean cross entropy per character, in nats."""
        return nn.functional.cross_entropy(self(characters[:, :-1]).flatten(0, 1), characters[:, 1:].flatten())

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.nats(batch)

    def validation_step(self, batch: tuple[str, Tensor], batch_idx: int) -> None:
        self.log(f"{batch[0]}_loss", self.nats(batch[1]), batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr, betas=(0.9, self.beta2), weight_decay=0.01)


class Windows:
    """Random windows of a text, a fixed number of batches in each pass."""

    def __init__(self, text: Tensor, batches: int, batch_size: int, length: int) -> None:
        self.text, self.batches, self.batch_size, self.length = text, batches, batch_size, length

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self.batches):
            starts = torch.randint(0, len(self.text) - self.length, (self.batch_size, 1))
            yield self.text[starts + torch.arange(self.length)]


class Topics(L.LightningDataModule):
    """The text of ``pydoc_data.topics``: 90% to train, 5% to validate, 5% to test, in this order.

    Args:
        context: characters seen at once.
        batch_size: windows in a batch.
        epoch_steps: batches that are called an epoch; the model is validated after each.
        windows: windows of the validation and of the test text that are measured, evenly spread.
    """

    def __init__(self, context: int = 64, batch_size: int = 32, epoch_steps: int = 50, windows: int = 128) -> None:
        super().__init__()
        self.context, self.batch_size, self.epoch_steps, self.windows = context, batch_size, epoch_steps, windows
        text = "\n".join(topics[name] for name in sorted(topics))
        self.symbols = sorted(set(text))
        number = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.text = torch.tensor([number[symbol] for symbol in text])

    def part(self, first: float, last: float) -> Tensor:
        """Return a part of the text, by shares of its length."""
        return self.text[int(first * len(self.text)) : int(last * len(self.text))]

    def unigram_floor(self) -> float:
        """Return the nats of the measured test text for a model that knows only how frequent each character is."""
        counts = torch.bincount(self.part(0, 0.9), minlength=len(self.symbols)).double() + 1
        measured = self.measured()["test"][:, 1:]
        return float(-(counts / counts.sum()).log()[measured].mean())

    def measured(self) -> dict[str, Tensor]:
        """Return the windows of the validation and of the test text that are measured."""
        windows = {}
        for name, part in (("val", self.part(0.9, 0.95)), ("test", self.part(0.95, 1))):
            apart = max(1, math.floor((len(part) - self.context - 1) / self.windows))
            starts = torch.arange(self.windows)[:, None] * apart
            windows[name] = part[starts + torch.arange(self.context + 1)]
        return windows

    def train_dataloader(self) -> Windows:
        return Windows(self.part(0, 0.9), self.epoch_steps, self.batch_size, self.context + 1)

    def val_dataloader(self) -> DataLoader[tuple[str, Tensor]]:
        return DataLoader(list(self.measured().items()), batch_size=None)  # type: ignore[arg-type]
