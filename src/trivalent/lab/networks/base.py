"""What all fusion networks share: the signature, its checks, and calls with foreign weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trivalent.core.errors import FeatureError, RecipeError
from trivalent.core.types import Modality, Sentiment

CLASSES = len(Sentiment)
Features = Mapping[Modality, Tensor]
Present = Mapping[Modality, Tensor]


class FusionOutput(NamedTuple):
    """Logits, and what a network wants minimised besides the classification loss.

    Attributes
    ----------
    logits : Tensor, shape (batch, 3)
    losses : dict of str to scalar Tensor
        Weighted terms by name; empty for all networks but `misa`.
    """

    logits: Tensor
    losses: dict[str, Tensor]

    @property
    def auxiliary(self) -> Tensor:
        """Sum of the losses, a scalar; zero where there are none."""
        return sum(self.losses.values(), self.logits.new_zeros(()))


class Front(nn.Module):
    """What is computed before a network, frozen and the same for all seeds: features to features."""

    def forward(self, features: Features, present: Present) -> dict[Modality, Tensor]:
        """Return features of the same samples, as the network takes them."""
        raise NotImplementedError

    def read(self, features: Features, present: Present) -> dict[Modality, Tensor]:
        """Do the same for a whole data set, without gradients and in bounded memory."""
        raise NotImplementedError


class FusionNetwork(nn.Module):
    """Classifier of a sample from the features of its modalities.

    Subclasses keep to what `torch.func` can stack: no control flow on data, no in-place
    operation, no batch statistics in the logits, dropout by `SeededDropout` alone.

    Parameters
    ----------
    widths : mapping of Modality to int
        Number of features of each modality; the network's order is that of `Modality`.

    Raises
    ------
    RecipeError
        There is no modality, or a width is not positive.

    Attributes
    ----------
    pretrained : tuple of str
        How the names of those parameters begin that were trained before; they have a learning rate of
        their own.
    enough : int
        Training samples of the rarest class from which on its encoders are worth training; 0 where there
        is no other choice.
    reads_sequences, reads_tokens : bool
        Whether features may be (batch, steps, width), and text the ids of tokens, of width 1.
    """

    pretrained: ClassVar[tuple[str, ...]] = ()
    enough: ClassVar[int] = 0
    reads_sequences: ClassVar[bool] = False
    reads_tokens: ClassVar[bool] = False

    def __init__(self, widths: Mapping[Modality, int]) -> None:
        super().__init__()
        self.modalities = tuple(m for m in Modality if m in widths)
        self.widths = {m: widths[m] for m in self.modalities}
        if not self.widths:
            raise RecipeError("network.no_width")
        for m, width in self.widths.items():
            if width < 1:
                raise RecipeError("network.width", modality=m, width=width)

    def forward(self, features: Features, present: Present) -> Tensor:
        """Classify a batch.

        Parameters
        ----------
        features : mapping of Modality to float Tensor, shape (batch, widths[m])
            Rows of absent modalities may hold anything, NaN included. Further modalities are ignored.
        present : mapping of Modality to bool or float Tensor, shape (batch,)
            Zero where a modality is absent.

        Returns
        -------
        Tensor, shape (batch, 3)
            Logits in the order of `Sentiment`.

        Raises
        ------
        FeatureError
            A modality is not there, or a shape does not fit.
        """
        raise NotImplementedError

    def front(self) -> Front | None:
        """Return what its features have to go through before `forward`; nothing for most networks."""
        return None

    def forward_all(self, features: Features, present: Present) -> FusionOutput:
        """Classify a batch and return the network's own losses, too; arguments as of `forward`."""
        return FusionOutput(self(features, present), {})


def functional_output(
    network: FusionNetwork, state: Mapping[str, Tensor], *, features: Features, present: Present
) -> FusionOutput:
    """Call `forward_all` with other parameters and buffers, as `torch.func.functional_call` does `forward`.

    Parameters
    ----------
    network : FusionNetwork
    state : mapping of str to Tensor
        Parameters and buffers (dropout masks, for instance) by their names in the network.
    features, present
        As of `FusionNetwork.forward`.

    Examples
    --------
    Losses of an ensemble, member by member:

    >>> from torch.func import stack_module_state, vmap
    >>> from trivalent.lab.networks import build_network
    >>> members = [build_network("misa", widths={Modality.TEXT: 5, Modality.FACE: 4}) for _ in range(3)]
    >>> parameters, buffers = stack_module_state(members)
    >>> features = {Modality.TEXT: torch.ones(8, 5), Modality.FACE: torch.ones(8, 4)}
    >>> present = {m: torch.ones(8) for m in features}
    >>> def auxiliary(state):
    ...     return functional_output(members[0], state, features=features, present=present).auxiliary
    >>> vmap(auxiliary)({**parameters, **buffers}).shape
    torch.Size([3])
    """
    named = {f"network.{name}": value for name, value in state.items()}
    return cast(FusionOutput, functional_call(_Complete(network), named, (features, present)))


class _Complete(nn.Module):
    """Make `forward_all` the forward pass, the only method that `functional_call` reaches."""

    def __init__(self, network: FusionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Features, present: Present) -> FusionOutput:
        return self.network.forward_all(features, present)


def check_inputs(
    features: Features, present: Present, *, widths: Mapping[Modality, int], sequences: bool = False
) -> None:
    """Compare shapes (never values: they may be tracers) with what a network expects.

    Raises
    ------
    FeatureError
        A modality is not there, or a shape does not fit.
    """
    absent = [m for m in widths if m not in features or m not in present]
    if absent:
        raise FeatureError("network.features", widths=list(widths), absent=absent[0])
    batch = features[next(iter(widths))].shape[0]
    for m, width in widths.items():
        x, mask = features[m], present[m]
        if x.dim() not in ((2, 3) if sequences else (2,)) or x.shape[-1] != width:
            steps = "(batch, [steps,] {})" if sequences else "(batch, {})"
            remedy = "" if sequences else "average over steps or use the network 'mult', and "
            raise FeatureError(
                "network.shape", modality=m, steps=steps.format(width), shape=tuple(x.shape), remedy=remedy
            )
        shapes = (x.shape[:1], x.shape[:2]) if x.dim() == 3 else (x.shape[:1],)
        if x.shape[0] != batch or mask.shape not in shapes:
            raise FeatureError(
                "network.presence",
                modality=m,
                shapes=" or ".join(str(tuple(s)) for s in shapes),
                batch=batch,
                shape=tuple(mask.shape),
                shape2=x.shape[0],
            )


def without_absent(x: Tensor, mask: Tensor) -> Tensor:
    """Replace absent rows by zeros, so that NaN meets no weight; a token follows after encoding.

    A product would keep NaN; selecting also cuts the gradient.

    Parameters
    ----------
    x : Tensor, shape (..., width)
    mask : bool Tensor, shape (...)
    """
    return torch.where(mask.unsqueeze(-1), x, torch.zeros((), dtype=x.dtype, device=x.device))


def or_all(mask: Tensor) -> Tensor:
    """Use what is there; where nothing is there, use everything (which are tokens then).

    Parameters
    ----------
    mask : bool Tensor, shape (..., n)

    Examples
    --------
    >>> or_all(torch.tensor([[True, False], [False, False]])).tolist()
    [[True, False], [True, True]]
    """
    return mask | ~mask.any(-1, keepdim=True)
