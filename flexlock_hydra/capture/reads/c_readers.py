"""Libraries that open files in C, where no hook of Python's sees them, and what they read.

Where one of them is loaded, a file of its kind in a folder that the config names counts as read.
"""

from __future__ import annotations

import sys

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".exr", ".jp2", ".gif")
_SOUND = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aac", ".m4a")
_VIDEO = (".mp4", ".avi", ".mov", ".mkv", ".webm")
_SUFFIXES = {
    "cv2": (*_IMAGES, *_VIDEO),
    "torchvision.io": (*_IMAGES, *_VIDEO),
    "torchaudio": _SOUND,
    "soundfile": _SOUND,
    "decord": _VIDEO,
    "av": (*_VIDEO, *_SOUND),
    "pyvips": _IMAGES,
    "rasterio": (".tif", ".tiff", ".vrt", ".jp2", ".img"),
    "h5py": (".h5", ".hdf5", ".hdf", ".he5", ".mat", ".keras"),
    "tables": (".h5", ".hdf5", ".hdf"),
    "netCDF4": (".nc", ".nc4", ".h5"),
    "lmdb": (".mdb", ".lmdb"),
    "pyarrow.parquet": (".parquet", ".pq"),
    "pyarrow.dataset": (".parquet", ".pq", ".arrow", ".feather", ".csv", ".orc"),
    "pyarrow.feather": (".feather", ".arrow"),
    "pyarrow.orc": (".orc",),
    "pyarrow.csv": (".csv",),
    "polars": (".parquet", ".csv", ".arrow", ".feather", ".ndjson", ".json"),
    "duckdb": (".duckdb", ".db", ".parquet", ".csv", ".json"),
    "tensorflow": (".tfrecord", ".tfrecords", ".record", ".pb", ".index", *_IMAGES),
    "safetensors": (".safetensors",),
    "sentencepiece": (".model",),
    "faiss": (".index", ".faiss"),
    "xgboost": (".json", ".ubj", ".model"),
    "lightgbm": (".txt", ".csv", ".bin"),
    "catboost": (".cbm", ".tsv", ".csv"),
}


def suffixes_read_in_c() -> tuple[str, ...]:
    """The suffixes, in small letters, of what the libraries that are loaded read unseen."""
    loaded = (found for name, found in _SUFFIXES.items() if name in sys.modules)
    return tuple(sorted({suffix for each in loaded for suffix in each}))
