"""Fusion by self-attention over one token per modality: one layer, and a small transformer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from trivalent.core.types import Modality
from trivalent.lab.networks.base import CLASSES, Features, FusionNetwork, Present, or_all
from trivalent.lab.networks.layers import ModalityEncoders, MultiHeadAttention, Transformer, head


class Attending(FusionNetwork):
    """Self-attention over encoded modalities, whatever encodes them; tells who reads from whom."""

    encoders: nn.Module

    def _attend(self, width: int, *, heads: int, head_hidden: int, dropout: float, classes: int) -> None:
        """Make what follows the encoders."""
        self.attention = MultiHeadAttention(width, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.head = head(width, hidden=head_hidden, dropout=dropout, classes=classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        return self.attended(features, present)[0]

    def attended(self, features: Features, present: Present) -> tuple[Tensor, Tensor]:
        """Return logits, and who reads from whom, (batch, heads, reading modality, read modality)."""
        x, mask = self.encoders(features, present)  # (batch, modalities, width)
        read, weights = self.attention(x, x, keys=or_all(mask))
        return self.head(self.norm(x + read).mean(1)), weights


class AttentionFusion(Attending):
    """Self-attention over the encoded modalities: the network of the paper behind this project.

    Encoder per modality d -> 128 -> 64 (Linear, LayerNorm, ReLU, dropout 0.3, Linear); X holds one
    token of width 64 per modality; Y = LayerNorm(X + MultiHead(X, X, X)) with 4 heads; the mean of
    Y over tokens goes through 64 -> 128 -> 3 (Linear, ReLU, dropout 0.3, Linear). The attention is
    that of Vaswani et al. (NeurIPS 2017, eq. 1).

    Ours is what happens without a modality: its learned token stands in its place and reads from
    the present ones, and none reads from it (weight exactly zero). Where nothing is there, the
    tokens read from each other.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    hidden, width, head_hidden : int
        Units: hidden of the encoders, tokens, hidden of the classifier.
    heads : int
        Heads of the attention; divides `width`.
    dropout : float
        Probability of dropping a hidden unit of encoders and classifier.
    classes : int
        Outputs; 3 are those of `Sentiment`.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int = 128,
        width: int = 64,
        heads: int = 4,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.encoders = ModalityEncoders(self.widths, hidden=hidden, width=width, dropout=dropout)
        self._attend(width, heads=heads, head_hidden=head_hidden, dropout=dropout, classes=classes)


class TransformerFusion(FusionNetwork):
    """Transformer layers over the encoded modalities (Vaswani et al., NeurIPS 2017; pre-norm).

    Tokens for absent modalities read and are not read, as in `AttentionFusion`.

    Parameters
    ----------
    widths, hidden, width, heads, head_hidden, dropout, classes
        As of `AttentionFusion`.
    layers : int
        Number of layers.
    layer_dropout : float
        Probability of dropping a unit within the layers.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int = 128,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        head_hidden: int = 128,
        dropout: float = 0.3,
        layer_dropout: float = 0.1,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.encoders = ModalityEncoders(self.widths, hidden=hidden, width=width, dropout=dropout)
        self.transformer = Transformer(
            width, heads=heads, layers=layers, dropout=layer_dropout, tokens=len(self.widths)
        )
        self.head = head(width, hidden=head_hidden, dropout=dropout, classes=classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        x, mask = self.encoders(features, present)  # (batch, modalities, width)
        return self.head(self.transformer(x, keys=or_all(mask)).mean(1))
