//! Ids for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use catga_core::ids;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::arguments;

/// 2025-01-01: 41 bits of ms from here end in 2094.
const EPOCH_MS: i64 = 1_735_689_600_000;

/// More than one call is ever for; a wrong argument must not become an allocation that fails.
const MOST: u64 = 1 << 20;

/// 128-bit ids in the layout of `UUIDv7`, ordered within one generator even when the clock steps back.
#[pyclass(frozen, module = "catga._core")]
pub struct Ids(Mutex<ids::Ids>);

impl Ids {
    fn lock(&self) -> MutexGuard<'_, ids::Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now(now_ms: &Bound<'_, PyAny>) -> PyResult<u64> {
    arguments::unsigned("now_ms", now_ms, ids::MAX_MS)
}

#[pymethods]
impl Ids {
    #[new]
    fn new(seed: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Mutex::new(ids::Ids::new(arguments::unsigned("seed", seed, u64::MAX)?))))
    }

    fn next<'py>(&self, py: Python<'py>, now_ms: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let now_ms = now(now_ms)?;
        let id = self.lock().next(now_ms);
        Ok(PyBytes::new(py, &id))
    }

    fn many<'py>(
        &self,
        py: Python<'py>,
        count: &Bound<'py, PyAny>,
        now_ms: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (count, now_ms) = (arguments::unsigned("count", count, MOST)?, now(now_ms)?);
        let ids: Vec<[u8; 16]> = {
            let mut ids = self.lock();
            (0..count).map(|_| ids.next(now_ms)).collect()
        };
        PyList::new(py, ids.iter().map(|id| PyBytes::new(py, id)))
    }

    /// After a fork: parent and child must never give the same id.
    fn reseed(&self, seed: &Bound<'_, PyAny>) -> PyResult<()> {
        let seed = arguments::unsigned("seed", seed, u64::MAX)?;
        self.lock().reseed(seed);
        Ok(())
    }
}

/// 64-bit ids: 41 bits of ms since `epoch_ms`, 10 of node, 12 of sequence; never waits, never steps back.
#[pyclass(frozen, module = "catga._core")]
pub struct Snowflake(ids::Snowflake);

fn ended() -> PyErr {
    PyValueError::new_err("the 41 bits of milliseconds since epoch_ms are used up")
}

#[pymethods]
impl Snowflake {
    #[new]
    #[pyo3(signature = (node, epoch_ms = None), text_signature = "(node, epoch_ms=1735689600000)")]
    fn new(node: &Bound<'_, PyAny>, epoch_ms: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let epoch_ms = epoch_ms.map_or(Ok(EPOCH_MS), |epoch_ms| arguments::time("epoch_ms", epoch_ms))?;
        let node = arguments::unsigned("node", node, ids::Snowflake::MAX_NODE)?;
        Ok(Self(ids::Snowflake::new(node, epoch_ms)))
    }

    fn next(&self, now_ms: &Bound<'_, PyAny>) -> PyResult<u64> {
        let now_ms = arguments::time("now_ms", now_ms)?;
        self.0.take(1, now_ms).and_then(|mut ids| ids.next()).ok_or_else(ended)
    }

    fn many<'py>(
        &self,
        py: Python<'py>,
        count: &Bound<'py, PyAny>,
        now_ms: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let count = arguments::unsigned("count", count, MOST)?;
        let now_ms = arguments::time("now_ms", now_ms)?;
        PyList::new(py, self.0.take(count, now_ms).ok_or_else(ended)?)
    }
}
