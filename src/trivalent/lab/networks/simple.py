"""Fusion without interaction, or by gates: linear, one modality, concatenation, late, gated units."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trivalent.core.errors import RecipeError
from trivalent.core.types import Modality
from trivalent.lab.networks.base import (
    CLASSES,
    Features,
    FusionNetwork,
    Present,
    check_inputs,
    or_all,
    without_absent,
)
from trivalent.lab.networks.dropout import SeededDropout
from trivalent.lab.networks.layers import ModalityEncoders, head


class Concatenation(FusionNetwork):
    """Encoded modalities side by side, one classifier (early fusion of representations).

    Equal to `AttentionFusion` without its attention, and with joining instead of averaging.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    hidden, width, head_hidden : int
        Units: hidden of the encoders, encoded, hidden of the classifier.
    dropout : float
        Probability of dropping a hidden unit of encoders and classifier.
    classes : int
        Outputs; 7 for the scores -3 to 3.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int = 128,
        width: int = 64,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.encoders = ModalityEncoders(self.widths, hidden=hidden, width=width, dropout=dropout)
        self.norm = nn.LayerNorm(width)
        self.head = head(len(self.widths) * width, hidden=head_hidden, dropout=dropout, classes=classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        encoded, _ = self.encoders(features, present)  # (batch, modalities, width)
        return self.head(self.norm(encoded).flatten(1))


class Single(Concatenation):
    """One modality alone: what fusion has to beat.

    Parameters
    ----------
    widths : mapping of Modality to int
        May hold further modalities, which are ignored.
    modality : Modality or str, optional
        Which one; needed if there are several widths.
    hidden, width, head_hidden, dropout, classes
        As of `Concatenation`.

    Raises
    ------
    RecipeError
        The modality is not clear or has no width.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        modality: Modality | str | None = None,
        hidden: int = 128,
        width: int = 64,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        if modality is None and len(widths) == 1:
            modality = next(iter(widths))
        if modality not in list(widths):
            near = difflib.get_close_matches(str(modality), widths, n=1)
            hint = f"did you mean {str(near[0])!r}?" if near else "set the option `modality`"
            got = "none" if modality is None else repr(str(modality))
            raise RecipeError("network.single", widths=list(widths), got=got, hint=hint)
        chosen = Modality(modality)
        super().__init__(
            {chosen: widths[chosen]},
            hidden=hidden,
            width=width,
            head_hidden=head_hidden,
            dropout=dropout,
            classes=classes,
        )


class LateFusion(FusionNetwork):
    """A classifier per modality; the logits of the present modalities are averaged.

    A sample without any modality gets the average of what the classifiers make of the tokens.

    Parameters
    ----------
    widths, hidden, width, head_hidden, dropout, classes
        As of `Concatenation`.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int = 128,
        width: int = 64,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.encoders = ModalityEncoders(self.widths, hidden=hidden, width=width, dropout=dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.modalities)
        self.heads = nn.ModuleList(
            head(width, hidden=head_hidden, dropout=dropout, classes=classes) for _ in self.modalities
        )

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        logits, mask = self._member_logits(features, present)
        weight = or_all(mask).unsqueeze(-1).to(logits.dtype)
        return (logits * weight).sum(1) / weight.sum(1)

    def _member_logits(self, features: Features, present: Present) -> tuple[Tensor, Tensor]:
        encoded, mask = self.encoders(features, present)  # (batch, modalities, width)
        members = zip(self.norms, self.heads, encoded.unbind(1), strict=True)
        return torch.stack([own(norm(x)) for norm, own, x in members], 1), mask


class LinearFusion(FusionNetwork):
    """Multinomial logistic regression on all modalities: what every deeper network has to beat.

    An absent modality contributes a learned offset instead of its features.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    dropout : float
        Probability of dropping a feature.
    classes : int
        Outputs; 3 are those of `Sentiment`.
    """

    def __init__(
        self, widths: Mapping[Modality, int], *, dropout: float = 0.0, classes: int = CLASSES
    ) -> None:
        super().__init__(widths)
        self.dropouts = nn.ModuleDict(
            {m.value: SeededDropout(dropout, (width,)) for m, width in self.widths.items()}
        )
        # From zero, as the problem is convex: there is no symmetry to break.
        self.weights = nn.ParameterDict(
            {m.value: nn.Parameter(torch.zeros(classes, width)) for m, width in self.widths.items()}
        )
        self.tokens = nn.Parameter(torch.zeros(len(self.widths), classes))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        check_inputs(features, present, widths=self.widths)
        logits: Tensor = self.bias
        for m, offset in zip(self.widths, self.tokens, strict=True):
            mask = present[m].bool()
            seen = self.dropouts[m.value](without_absent(features[m], mask))
            logits = logits + torch.where(mask.unsqueeze(-1), seen @ self.weights[m.value].T, offset)
        return logits


class GatedFusion(FusionNetwork):
    """Gated multimodal units (Arevalo et al., ICLR workshop 2017, section 3.1).

    h_m = tanh(W_m x_m), z_m = sigmoid(Y_m [x_1, ..., x_M]), h = sum_m z_m * h_m, on the encoded
    modalities x_m. The gate of an absent modality is closed; where nothing is there, all are open
    to the tokens. The gates see the tokens and so know what is absent.

    Parameters
    ----------
    widths, hidden, width, head_hidden, dropout, classes
        As of `Concatenation`.
    """

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        hidden: int = 128,
        width: int = 64,
        head_hidden: int = 128,
        dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        count = len(self.widths)
        self.encoders = ModalityEncoders(self.widths, hidden=hidden, width=width, dropout=dropout)
        self.states = nn.ModuleList(nn.Linear(width, width) for _ in self.modalities)
        self.gates = nn.ModuleList(nn.Linear(count * width, width) for _ in self.modalities)
        self.head = head(width, hidden=head_hidden, dropout=dropout, classes=classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `FusionNetwork.forward`."""
        encoded, mask = self.encoders(features, present)  # (batch, modalities, width)
        joined = encoded.flatten(1)
        states = [torch.tanh(layer(x)) for layer, x in zip(self.states, encoded.unbind(1), strict=True)]
        gates = [torch.sigmoid(layer(joined)) for layer in self.gates]
        opened = torch.stack(gates, 1) * or_all(mask).unsqueeze(-1).to(encoded.dtype)
        return self.head((opened * torch.stack(states, 1)).sum(1))
