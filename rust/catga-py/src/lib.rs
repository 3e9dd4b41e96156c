//! `catga._core`: the thin Python skin over [`catga_core`]. No logic lives here.

use pyo3::prelude::*;

mod build;

/// The extension module `catga._core`.
#[pymodule(gil_used = true)]
mod _core {
    #[pymodule_export]
    use super::build::build_info;
}
