//! How this extension was built, for bug reports.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Version, profile and compiler target of the extension.
#[pyfunction]
pub fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    info.set_item("target", std::env::consts::ARCH)?;
    info.set_item("os", std::env::consts::OS)?;
    Ok(info)
}
