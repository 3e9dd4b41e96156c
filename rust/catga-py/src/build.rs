//! How this extension was built, for bug reports.

use pyo3::exceptions::PyRuntimeWarning;
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

/// A debug build is several times slower: whoever measures or deploys it by mistake has to hear so.
pub fn warn_of_debug_build(py: Python<'_>) -> PyResult<()> {
    if !cfg!(debug_assertions) || std::env::var_os("CATGA_DEBUG_BUILD").is_some_and(|value| value == "1") {
        return Ok(());
    }
    let message = c"catga._core was built without optimisation and is several times slower; run `make setup` for a release build, \
                    or set CATGA_DEBUG_BUILD=1 if a debug build is what you want";
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), message, 1)
}
