"""Warmup decides: a post-norm Transformer at a high lr learns nothing without it (arXiv 2002.04745).

It predicts the next character of Python's own documentation, which every Python brings with it. Run it with
``python -m examples.transformer_warmup`` (about half a minute).
"""

import sys
from collections.abc import Iterator
from pydoc_data.topics import topics

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from examples.record import Record
from lightning_lrsched import Constant, LearningRateScheduler, Linear

CONTEXT, WIDTH = 48, 64


class PostNorm(L.LightningModule):
    """Six layers that are normalised after the sum, as in the first Transformer."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=False)
        self.body = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, symbols)
        for weight in self.body.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def nats(self, text: Tensor) -> Tensor:
        """Return the mean cross entropy of a character, given those before it."""
        mask = nn.Transformer.generate_square_subsequent_mask(CONTEXT)
        scores = self.head(self.body(self.embed(text[:, :-1]) + self.place, mask=mask, is_causal=True))
        return nn.functional.cross_entropy(scores.flatten(0, 1), text[:, 1:].flatten())

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the loss."""
        return self.nats(batch)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Log the loss on text that is not trained on."""
        self.log("val_nats", self.nats(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW at an lr that is high for this network."""
        return torch.optim.AdamW(self.parameters(), lr=5e-3, betas=(0.9, 0.98))


class Windows(IterableDataset[Tensor]):
    """Random windows of a text."""

    def __init__(self, text: Tensor, batches: int, batch_size: int) -> None:
        self.text, self.batches, self.batch_size = text, batches, batch_size

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self.batches):
            starts = torch.randint(0, len(self.text) - CONTEXT, (self.batch_size, 1))
            yield self.text[starts + torch.arange(CONTEXT + 1)]


def main(quick: bool = False) -> dict[str, Record]:
    """Train with and without warmup; the lr falls linearly afterwards."""
    characters = "".join(topics[name] for name in sorted(topics))
    symbols = {symbol: index for index, symbol in enumerate(sorted(set(characters)))}
    text = torch.tensor([symbols[symbol] for symbol in characters])
    cut = int(0.9 * len(text))
    shares = torch.bincount(text[:cut], minlength=len(symbols)) / cut
    floor = -(shares[shares > 0].log() * shares[shares > 0]).sum()
    steps, records = 4 if quick else 300, {}
    for name, schedule in {
        "without warmup": LearningRateScheduler(Constant()),
        "with warmup": LearningRateScheduler(Linear(), warmup=steps // 3),
    }.items():
        L.seed_everything(0, verbose=False)
        records[name] = Record("val_nats")
        trainer = L.Trainer(
            max_steps=steps,
            val_check_interval=steps if quick else steps // 10,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            callbacks=[schedule, records[name]],
        )
        train, validation = Windows(text[:cut], steps, 16), Windows(text[cut:], 1 if quick else 8, 64)
        trainer.fit(PostNorm(len(symbols)), DataLoader(train, None), DataLoader(validation, None))
    for name, record in records.items():
        print(f"{name:<16} {record.scores[-1][1]:.3f} nats a character (by the frequencies alone: {floor:.3f})")
    return records


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
