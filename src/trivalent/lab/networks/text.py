"""The text expert: a sentence encoder with a linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trivalent.core.types import Sentiment
from trivalent.features.text import ENGLISH, Vocabulary
from trivalent.lab.networks.encoders import pretrained_encoder

CLASSES = len(Sentiment)


class TextClassifier(nn.Module):
    """A sentence encoder, mean pooling over tokens, linear head.

    Besides the class logits a valence in [-1, 1] is learnt where the corpus annotates one:
    a graded target that teaches order (negative < neutral < positive). It is not exported.
    """

    def __init__(self, encoder: nn.Module, *, width: int = 384, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, CLASSES)
        self.valence = nn.Linear(width, 1)

    @classmethod
    def pretrained(
        cls, encoder: str, vocabulary: Vocabulary = ENGLISH, *, dropout: float = 0.1
    ) -> TextClassifier:
        """Start from a published sentence encoder; see `pretrained_encoder`."""
        network, width = pretrained_encoder(encoder, vocabulary)
        return cls(network, width=width, dropout=dropout)

    def pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Average the token states; returns (batch, width)."""
        states = self.encoder(
            input_ids=ids, attention_mask=mask
        ).last_hidden_state  # (batch, tokens, width)
        weight = mask.unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return class logits, shape (batch, 3)."""
        return self.head(self.dropout(self.pooled(ids, mask)))

    def forward_all(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (batch, 3) and valence (batch,)."""
        x = self.dropout(self.pooled(ids, mask))
        return self.head(x), torch.tanh(self.valence(x)).squeeze(-1)
