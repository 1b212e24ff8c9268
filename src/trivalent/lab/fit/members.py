"""What the training loop trains: equal networks as one, a batched ensemble, or a single network.

Small networks spend their time in the calls of operations, not in arithmetic. Stacked along a
leading axis, ten of them cost few more calls than one. Nothing is shared: each member has its
own weights, gradient, clipping, learning rate and dropout masks, and so it learns what it
would learn alone, up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from trivalent.core.errors import UsageError
from trivalent.lab.networks.dropout import SeededDropout, draw_masks

Build = Callable[[], nn.Module]


class Members(nn.Module):
    """K equal networks as one module; all tensors have a leading axis of members.

    Parameters
    ----------
    networks : sequence of nn.Module
        Equal in everything but weights; dropout by `SeededDropout` alone.
    seeds : sequence of int
        One per member: where its chance in training comes from. Not needed for predictions.

    Raises
    ------
    UsageError
        There is no network, they differ, they use `nn.Dropout` or running statistics, or there are not
        as many seeds as networks.

    Examples
    --------
    >>> members = Members.build(lambda: nn.Linear(5, 3), [0, 1, 2, 3])
    >>> members(torch.ones(4, 8, 5)).shape
    torch.Size([4, 8, 3])
    >>> members(torch.ones(8, 5), shared=True).shape
    torch.Size([4, 8, 3])
    >>> len(members.split())
    4
    """

    fused = True  # one pass over the stacked weights

    def __init__(self, networks: Sequence[nn.Module], *, seeds: Sequence[int] = ()) -> None:
        super().__init__()
        _check(networks, seeds)
        self.size, self.seeds = len(networks), tuple(int(seed) for seed in seeds)
        # In a tuple, so that the weights of the pattern are not taken for those of the ensemble.
        self._pattern = (copy.deepcopy(networks[0]),)
        parameters, buffers = stack_module_state(list(networks))
        masks = {f"{name}.mask" for name in dropout_layers(self.pattern)}
        self.names = tuple(parameters)
        self.stacked = nn.ParameterList(
            nn.Parameter(_inner_first(p.detach()), requires_grad=p.requires_grad)
            for p in parameters.values()
        )
        self.buffer_names = tuple(name for name in buffers if name not in masks)
        for i, name in enumerate(self.buffer_names):
            self.register_buffer(f"buffer{i}", buffers[name].detach())
        self.masks: dict[str, Tensor] = {}
        self.train(networks[0].training)

    @classmethod
    def build(cls, build: Build, seeds: Sequence[int]) -> Members:
        """Draw each member's initial weights from its own seed, as `seeded` does for one network."""
        return cls([seeded(build, seed) for seed in seeds], seeds=seeds)

    @property
    def pattern(self) -> nn.Module:
        """A network of the members' form; its weights mean nothing."""
        return self._pattern[0]

    def train(self, mode: bool = True) -> Members:
        """Set the mode of all members."""
        super().train(mode)
        self.pattern.train(mode)
        self.masks = self.masks if mode else {}
        return self

    def forward(self, *inputs: Any, shared: bool = False, method: str = "forward") -> Any:
        """Call every member on its own inputs, or all on the same ones.

        Parameters
        ----------
        inputs : nested containers of Tensor, shape (members, ...)
            Without the axis of members if `shared`.
        method : str
            Of the networks: `forward`, or another one with the same arguments.

        Returns
        -------
        What the method returns, each Tensor of shape (members, ...)
        """
        caller = _Caller(self.pattern, method)
        state = self._state() | (self.masks if self.training else {})
        named = {f"network.{name}": value for name, value in state.items()}

        def one(own: dict[str, Tensor], arguments: tuple[Any, ...]) -> Any:
            return functional_call(caller, own, arguments)

        return vmap(one, in_dims=(0, None if shared else 0))(named, inputs)

    @property
    def network(self) -> Members:
        """What a task is given, here the ensemble itself."""
        return self

    def generators(self, epoch: int) -> list[np.random.Generator]:
        """Chance of each member in an epoch."""
        return [_generator(seed, epoch) for seed in self.seeds]

    def draw_masks(self, count: int, *, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Draw dropout masks for `count` samples of each member, by layer, shape (members, count, *shape).

        Member k's depend on generator k alone. Set as `masks`, they are used in the next passes.
        """
        layers = dropout_layers(self.pattern)
        drawn: list[list[Tensor]] = [[] for _ in layers]
        for generator in generators:
            draw_masks(self.pattern, count, generator)
            for masks, layer in zip(drawn, layers.values(), strict=True):
                masks.append(layer.mask)
        return {f"{name}.mask": torch.stack(masks) for name, masks in zip(layers, drawn, strict=True)}

    def clip_gradients(self, limit: float) -> None:
        """Scale each member's gradient to a norm of at most `limit`."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        # Over axes, not on a flat copy: the gradients of large matrices are not contiguous.
        parts = [
            torch.linalg.vector_norm(g, dim=tuple(range(1, g.dim()))) if g.dim() > 1 else g
            for g in gradients
        ]
        norms = torch.linalg.vector_norm(torch.stack(parts), dim=0)  # (members,)
        scale = (limit / (norms + 1e-6)).clamp(max=1.0)
        if (scale < 1).any():
            for g in gradients:
                g.mul_(_along(scale, g))

    def step(self, optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
        """Make a step with a learning rate per member: the optimiser's, times the member's in `rates`.

        A step of Adam is proportional to the learning rate, weight decay included. So the optimiser
        uses the greatest rate, and the other members go their share of the way.
        """
        greatest = max(rates)
        _scale_rates(optimizer, greatest)
        if min(rates) == greatest:
            optimizer.step()
            return
        moved = [p for p in self.parameters() if p.grad is not None]
        before = [p.detach().clone() for p in moved]
        optimizer.step()
        share = torch.tensor(rates, device=moved[0].device) / greatest
        with torch.no_grad():
            for p, old in zip(moved, before, strict=True):
                p.copy_(torch.lerp(old, p, _along(share, p).to(p.dtype)))

    def split(self) -> list[nn.Module]:
        """Return the members as plain networks, with copies of their weights."""
        state = self._state()
        return [self._member({name: value[k] for name, value in state.items()}) for k in range(self.size)]

    def _state(self) -> dict[str, Tensor]:
        buffers = {name: getattr(self, f"buffer{i}") for i, name in enumerate(self.buffer_names)}
        return dict(zip(self.names, self.stacked, strict=True)) | buffers

    def _member(self, state: Mapping[str, Tensor]) -> nn.Module:
        network = copy.deepcopy(self.pattern)
        for layer in dropout_layers(network).values():
            layer.mask = torch.ones(1, *layer.shape)
        network.to(next(iter(state.values())).device)
        with torch.no_grad():
            for name, own in [*network.named_parameters(), *network.named_buffers()]:
                if name in state:
                    own.copy_(state[name])
        return network


class Single:
    """A plain network where the loop expects members: one, called as it is.

    It may have layers that cannot be stacked, and keeps the rounding of torch's own calls.
    """

    size, fused = 1, None

    def __init__(self, network: nn.Module, *, seed: int) -> None:
        self.network, self.seeds = network, (seed,)

    def generators(self, epoch: int) -> np.random.Generator:
        """Chance of the network in an epoch."""
        return _generator(*self.seeds, epoch)

    def clip_gradients(self, limit: float) -> None:
        """Scale the gradient to a norm of at most `limit`."""
        nn.utils.clip_grad_norm_(self.network.parameters(), limit)

    def step(self, optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
        """Make a step with the optimiser's learning rate times the only one of `rates`."""
        _scale_rates(optimizer, *rates)
        optimizer.step()

    def split(self) -> list[nn.Module]:
        """Return the network."""
        return [self.network]


class _Caller(nn.Module):
    """Make another method the forward pass, the only one that `functional_call` reaches."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network, self.method = network, method

    def forward(self, *inputs: Any) -> Any:
        return getattr(self.network, self.method)(*inputs)


def seeded(build: Build, seed: int) -> nn.Module:
    """Build a network whose initial weights depend on the seed alone; leaves torch's generator as it was.

    >>> a, b = (seeded(lambda: nn.Linear(2, 1), 3) for _ in range(2))
    >>> torch.equal(a.weight, b.weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def dropout_layers(network: nn.Module) -> dict[str, SeededDropout]:
    """Find the layers with masks by their names."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, SeededDropout)}


def _generator(seed: int, epoch: int) -> np.random.Generator:
    # Each epoch has its own, so that a resumed run sees the same batches.
    return np.random.default_rng((seed, epoch))


def _scale_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= factor


def _along(members: Tensor, x: Tensor) -> Tensor:
    """Give (members,) as many axes as x."""
    return members.view(-1, *[1] * (x.dim() - 1))


def _inner_first(x: Tensor) -> Tensor:
    """Lay matrices out as their gradients come from the batched product, which saves a transposing copy."""
    return x.transpose(1, 2).contiguous().transpose(1, 2) if x.dim() == 3 else x.contiguous()


def _check(networks: Sequence[nn.Module], seeds: Sequence[int]) -> None:
    if not networks:
        raise UsageError("training.members_none")
    if seeds and len(seeds) != len(networks):
        raise UsageError("training.members_seeds", count=len(networks), count2=len(seeds))
    shapes = [{name: x.shape for name, x in n.state_dict().items()} for n in networks]
    different = [
        k for k, own in enumerate(shapes) if own != shapes[0] or type(networks[k]) is not type(networks[0])
    ]
    if different:
        raise UsageError("training.members_unequal", different=different[0])
    layers = list(networks[0].named_modules())
    foreign = [name for name, m in layers if isinstance(m, _DropoutNd) and m.p]
    if foreign:
        raise UsageError("training.members_dropout", foreign=foreign[0])
    counted = [name for name, m in layers if isinstance(m, _NormBase) and m.track_running_stats]
    if counted:
        raise UsageError("training.members_statistics", counted=counted[0])
