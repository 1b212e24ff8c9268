"""Model files: a registry with sha256, licence and origin; verified before use."""

from trivalent.assets.registry import (
    REGISTRY,
    Asset,
    Place,
    asset_path,
    cache_folder,
    find,
    sha256_of,
    verify,
)

__all__ = ["REGISTRY", "Asset", "Place", "asset_path", "cache_folder", "find", "sha256_of", "verify"]
