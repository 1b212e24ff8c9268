"""The text expert: a sentence encoder with a linear head."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from trivalent.assets import asset_path
from trivalent.types import Sentiment

CLASSES = len(Sentiment)


class TextClassifier(nn.Module):
    """MiniLM-L6 encoder, mean pooling over tokens, linear head.

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
    def pretrained(cls, *, dropout: float = 0.1) -> TextClassifier:
        """Start from the published MiniLM-L6 sentence encoder (Apache-2.0)."""
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=30522,
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
        )
        encoder = BertModel(config, add_pooling_layer=False)
        weights = load_file(asset_path("minilm-l6/model.safetensors"))
        unexpected = encoder.load_state_dict(weights, strict=False)
        assert not unexpected.missing_keys, unexpected.missing_keys  # noqa: S101 - the file is hash-checked
        return cls(cast(nn.Module, encoder), dropout=dropout)

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
