"""Networks of sequences: MulT, whose modalities read from each other, and one transformer of all steps."""

from __future__ import annotations

import math
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
    without_absent,
)
from trivalent.lab.networks.dropout import SeededDropout
from trivalent.lab.networks.layers import TOKEN_SCALE, Transformer, head, masked_mean


def positions(steps: int, width: int) -> Tensor:
    """Sinusoids that tell steps apart (Vaswani et al., NeurIPS 2017, section 3.5).

    sin(t / 10000^(2i / width)) in even columns 2i, the cosine in the odd ones.

    Returns
    -------
    Tensor, shape (steps, width)

    Examples
    --------
    >>> positions(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(steps).unsqueeze(1) * rate  # (steps, width / 2, rounded up)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]


def or_first(mask: Tensor) -> Tensor:
    """Use the steps that are there; without any, the first one (a token then).

    One step and not all, so that the length of the padding does not matter.

    >>> or_first(torch.tensor([[False, True], [False, False]])).tolist()
    [[False, True], [True, False]]
    """
    first = torch.arange(mask.shape[-1], device=mask.device) == 0
    return mask | (~mask.any(-1, keepdim=True) & first)


def as_steps(x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return features as steps, one vector being one, and which of them there are.

    Parameters
    ----------
    x : Tensor, shape (batch, steps, width) or (batch, width)
    present : Tensor, shape (batch, steps) or (batch,)

    Returns
    -------
    x : Tensor, shape (batch, steps, width)
    mask : bool Tensor, shape (batch, steps)
    """
    x = x.unsqueeze(1) if x.dim() == 2 else x
    mask = present.bool()
    return x, mask.unsqueeze(1).expand(x.shape[:2]) if mask.dim() == 1 else mask


class Streams(nn.Module):
    """Modalities as sequences of one width, with positions; an absent one is its token, as one step.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    width : int
        Of all steps.
    """

    def __init__(self, widths: Mapping[Modality, int], width: int) -> None:
        super().__init__()
        self.modalities, self.width = tuple(widths), width
        self.projections = nn.ModuleDict(
            {m.value: nn.Linear(inputs, width, bias=False) for m, inputs in widths.items()}
        )
        self.tokens = nn.ParameterDict(
            {m.value: nn.Parameter(TOKEN_SCALE * torch.randn(width)) for m in self.modalities}
        )

    def forward(self, features: Features, present: Present) -> dict[Modality, tuple[Tensor, Tensor]]:
        """Return steps (batch, steps, width) of each modality, and which of them to use (batch, steps)."""
        return {m: self._stream(m, features[m], present[m]) for m in self.modalities}

    def _stream(self, m: Modality, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        x, mask = as_steps(x, present)
        projected = self.projections[m.value](without_absent(x, mask))
        steps = torch.where(mask.unsqueeze(-1), projected, self.tokens[m.value])
        return steps + positions(x.shape[1], self.width).to(steps), or_first(mask)


class Mult(FusionNetwork):
    """Multimodal transformer (Tsai et al., ACL 2019, section 3).

    Each modality is projected to a common width and gets positions. For each target modality and
    each other one, a crossmodal transformer lets the target's steps read from the other's projected
    steps; the results, side by side, go through a transformer of the target's own, are averaged over
    steps and joined over targets; a residual block and a linear layer classify.

    Ours: steps that are absent are not read and not averaged (the paper takes the last step, which
    may be padding); the convolution over steps has kernel size 1, so that a gap cannot leak into
    its neighbours; an absent modality is its token, as a sequence of one step. Dropout keeps the
    same units at all steps. The paper uses width 40 and 4 layers for CMU-MOSEI.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality; at least two modalities.
    width, heads : int
        Common width, and heads per attention; heads divide width.
    layers : int
        Layers of each transformer.
    dropout : float
        Probability of dropping a unit of the layers.
    head_dropout : float
        Probability of dropping a unit of the residual block.
    classes : int
        Outputs; 3 are those of `Sentiment`.

    Raises
    ------
    RecipeError
        There are fewer than two modalities, or heads do not divide the width.
    """

    reads_sequences = True

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        width: int = 32,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.1,
        head_dropout: float = 0.3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        others = len(self.widths) - 1
        if not others:
            raise RecipeError("network.mult", modalities=self.modalities[0])
        self.streams = Streams(self.widths, width)
        self.cross = nn.ModuleDict(
            {
                f"{target}_from_{source}": Transformer(width, heads=heads, layers=layers, dropout=dropout)
                for target in self.modalities
                for source in self.modalities
                if source is not target
            }
        )
        self.own = nn.ModuleDict(
            {
                m.value: Transformer(others * width, heads=heads, layers=layers, dropout=dropout)
                for m in self.modalities
            }
        )
        joined = len(self.widths) * others * width
        self.residual = nn.Sequential(
            nn.Linear(joined, joined),
            nn.ReLU(),
            SeededDropout(head_dropout, (joined,)),
            nn.Linear(joined, joined),
        )
        self.out = nn.Linear(joined, classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Classify a batch of sequences.

        Parameters
        ----------
        features : mapping of Modality to float Tensor, shape (batch, steps, width) or (batch, width)
            Modalities may differ in steps; pooled features are one step.
        present : mapping of Modality to bool or float Tensor, shape (batch,) or (batch, steps)
            Zero where a modality, or a step of it, is absent.

        Returns
        -------
        Tensor, shape (batch, 3)

        Raises
        ------
        FeatureError
            A modality is not there, or a shape does not fit.
        """
        check_inputs(features, present, widths=self.widths, sequences=True)
        streams = self.streams(features, present)
        joined = torch.cat([self._target(m, streams) for m in self.modalities], -1)
        return self.out(joined + self.residual(joined))

    def _target(self, target: Modality, streams: Mapping[Modality, tuple[Tensor, Tensor]]) -> Tensor:
        """Return what one modality makes of the others, shape (batch, (modalities - 1) * width)."""
        x, used = streams[target]
        read = [
            self.cross[f"{target}_from_{m}"](x, source, keys=keys)
            for m, (source, keys) in streams.items()
            if m is not target
        ]
        return masked_mean(self.own[target.value](torch.cat(read, -1), keys=used), used)


class SequenceTransformer(FusionNetwork):
    """Transformer layers over the steps of all modalities at once (Vaswani et al., NeurIPS 2017; pre-norm).

    Each step is projected to a common width, gets its position and a learned vector that tells its
    modality, and reads from the steps of all; the mean over those that are there goes through the
    classifier. What `transformer` is to pooled features, this is to sequences: far fewer weights than
    `mult`.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality.
    width, heads, head_hidden : int
        Units of the steps, heads of the attention (they divide the width), hidden units of the classifier.
    layers : int
        Number of layers.
    dropout, layer_dropout : float
        Probability of dropping a hidden unit of the classifier, and a unit within the layers.
    classes : int
        Outputs; 3 are those of `Sentiment`.
    """

    reads_sequences = True

    def __init__(
        self,
        widths: Mapping[Modality, int],
        *,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        head_hidden: int = 128,
        dropout: float = 0.3,
        layer_dropout: float = 0.1,
        classes: int = CLASSES,
    ) -> None:
        super().__init__(widths)
        self.streams = Streams(self.widths, width)
        self.kinds = nn.ParameterDict(
            {m.value: nn.Parameter(TOKEN_SCALE * torch.randn(width)) for m in self.modalities}
        )
        self.transformer = Transformer(width, heads=heads, layers=layers, dropout=layer_dropout)
        self.head = head(width, hidden=head_hidden, dropout=dropout, classes=classes)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Return logits, shape (batch, 3); arguments as of `Mult.forward`."""
        check_inputs(features, present, widths=self.widths, sequences=True)
        streams = self.streams(features, present)
        x = torch.cat([steps + self.kinds[m.value] for m, (steps, _) in streams.items()], 1)
        used = torch.cat([mask for _, mask in streams.values()], 1)
        return self.head(masked_mean(self.transformer(x, keys=used), used))
