"""maturin as the build backend, with one thing said first: that a source build needs Rust.

Left to itself maturin fetches a toolchain of its own, or fails with a page of text that ends in the reason.
"""

import os
import shutil
import sys
from typing import Any

from maturin import build_editable as build_editable
from maturin import build_sdist as build_sdist
from maturin import build_wheel as build_wheel
from maturin import prepare_metadata_for_build_editable as prepare_metadata_for_build_editable
from maturin import prepare_metadata_for_build_wheel as prepare_metadata_for_build_wheel

NO_RUST = """\
error: building catga needs Rust 1.85 or newer, and no cargo was found: install it with rustup and try again
Wheels need no Rust; there are some for CPython 3.11 to 3.15 on Linux, macOS and Windows: `pip install -U pip` may find one."""


def _requires(config_settings: Any = None) -> list[str]:
    # Installers ask this before anything else.
    if shutil.which(os.environ.get("CARGO", "cargo")) is None:
        print(NO_RUST, file=sys.stderr)  # noqa: T201 - what a build backend prints is what the installer shows
        raise SystemExit(1)
    return []


get_requires_for_build_wheel = get_requires_for_build_editable = get_requires_for_build_sdist = _requires
