//! `Batcher`: closes by count, by bytes, or by age.

use catga_core::batcher as core;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::holder::{Held, Item, at_least, count_of, key_of, ordinarily_aligned};

/// Closes a batch by count, by bytes, or by the age of its oldest item (never restarted by a later one).
#[pyclass(frozen, generic, module = "catga._core")]
pub struct Batcher(Held<core::Batcher<Item>>);

ordinarily_aligned!(Batcher);

#[pymethods]
impl Batcher {
    #[new]
    fn new(count: &Bound<'_, PyAny>, size: &Bound<'_, PyAny>, age_ms: &Bound<'_, PyAny>) -> PyResult<Self> {
        let count = count_of(1, "count", count)?;
        let size = at_least(1, "size", size)?;
        let age_ms = at_least(0, "age_ms", age_ms)?;
        Ok(Self(Held::new(core::Batcher::new(count, size, age_ms))))
    }

    fn add(
        &self,
        item: &Bound<'_, PyAny>,
        size: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        now_ms: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let size = at_least(0, "size", size)?;
        let now_ms = at_least(0, "now_ms", now_ms)?;
        let item = item.clone().unbind();
        let key = key_of("key", key)?;
        Ok(self.0.with(|batcher| batcher.add(item, size, key, now_ms)))
    }

    #[pyo3(signature = (now_ms, *, force = false))]
    fn take<'py>(
        &self,
        py: Python<'py>,
        now_ms: &Bound<'py, PyAny>,
        force: bool,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let now_ms = at_least(0, "now_ms", now_ms)?;
        let Some(runs) = self.0.with(|batcher| batcher.take(now_ms, force)) else { return Ok(None) };
        let runs = runs.into_iter().map(|run| PyList::new(py, run)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, runs).map(Some)
    }

    fn deadline(&self) -> Option<u64> {
        self.0.with(|batcher| batcher.deadline())
    }

    fn __len__(&self) -> usize {
        self.0.with(|batcher| batcher.len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(|batcher| batcher.iter().try_for_each(|item| visit.call(item)))
    }

    fn __clear__(&self) {
        drop(self.0.with(core::Batcher::clear));
    }
}
