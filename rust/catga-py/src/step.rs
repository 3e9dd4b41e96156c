//! The first step of a coroutine, without the exception that ends it in Python.

use std::ptr;

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

/// What `first_step` gives for a coroutine that waits: `on` is what it yielded to the loop.
#[pyclass(frozen, module = "catga._core")]
pub struct Suspended {
    #[pyo3(get)]
    on: Py<PyAny>,
}

#[pymethods]
impl Suspended {
    // No `__clear__`: what the loop is given by `on` can break any cycle through it.
    #[allow(clippy::needless_pass_by_value, reason = "the signature that PyO3 asks for")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on)
    }
}

/// The coroutine's reply where it needs no second step, otherwise a `Suspended`; raises what it raises.
///
/// In Python the reply comes as a `StopIteration`, and making and catching that costs more than the step.
#[pyfunction]
pub fn first_step<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = coroutine.py();
    let mut given = ptr::null_mut();
    // SAFETY: both arguments are borrowed from live objects; `given` is an owned reference unless an error is set.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &raw mut given) {
            ffi::PySendResult::PYGEN_RETURN => Ok(Bound::from_owned_ptr(py, given)),
            ffi::PySendResult::PYGEN_NEXT => {
                let on = Bound::from_owned_ptr(py, given).unbind();
                Ok(Bound::new(py, Suspended { on })?.into_any())
            }
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        }
    }
}
