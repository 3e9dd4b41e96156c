//! `Ring`: how other threads feed one consumer.

use catga_core::ring as core;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::holder::{Held, Item, count_of, ordinarily_aligned, wrong_type};

/// More would have to be allocated at once.
const MOST_CAPACITY: usize = 1 << 30;

/// Bounded lock-free ring by which any thread feeds one consumer, with one wake-up per batch.
///
/// The garbage collector can walk it: traversing and clearing run attached to the interpreter, and `push` does not
/// detach half-way, so while they run no slot is half-written. The core does not rely on that for memory safety (what is
/// not published is not visited), only the count of references does.
#[pyclass(frozen, generic, module = "catga._core")]
pub struct Ring {
    ring: Box<core::Ring<Item>>,
    wake: Held<Option<Item>>,
}

ordinarily_aligned!(Ring);

#[pymethods]
impl Ring {
    #[new]
    fn new(capacity: &Bound<'_, PyAny>, wake: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capacity = count_of(1, "capacity", capacity)?;
        if capacity > MOST_CAPACITY {
            return Err(PyValueError::new_err(format!("capacity must be at most {MOST_CAPACITY}, not {capacity}")));
        }
        if !wake.is_callable() {
            return Err(wrong_type("wake", "callable", wake));
        }
        Ok(Self { ring: Box::new(core::Ring::new(capacity)), wake: Held::new(Some(wake.clone().unbind())) })
    }

    fn push(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self.ring.push(item.clone().unbind()) {
            Ok(false) => Ok(true),
            Ok(true) => self.wake(item.py()).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn drain<'py>(&self, py: Python<'py>, most: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let most = count_of(0, "most", most)?;
        PyList::new(py, self.ring.drain(most))
    }

    fn close(&self) {
        self.ring.close();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.ring.is_closed()
    }

    fn __len__(&self) -> usize {
        self.ring.len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.wake.traverse(|wake| visit.call(wake))?;
        let mut seen = Ok(());
        self.ring.for_each(|item| {
            if seen.is_ok() {
                seen = visit.call(item);
            }
        });
        seen
    }

    fn __clear__(&self) {
        drop(self.wake.with(Option::take));
        drop(self.ring.drain(usize::MAX));
    }
}

impl Ring {
    /// A wake that raises did not happen: the next push tries again, and this one's caller learns why.
    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let wake = self.wake.with(|wake| wake.as_ref().map(|wake| wake.clone_ref(py)));
        let Some(wake) = wake else { return Ok(()) };
        wake.call0(py).map(drop).inspect_err(|_| self.ring.disarm())
    }
}
