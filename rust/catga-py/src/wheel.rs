//! The timing wheel for Python.
//!
//! The lock is held for the core's own work only: items are made ready before it is taken and dropped after it is given
//! back, since dropping one may run a finaliser that calls into this same wheel.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use catga_core::wheel;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::arguments;

const SIGN: u64 = 1 << 63;

/// Milliseconds of any sign as the core's ticks, in the same order.
fn tick(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    arguments::time(name, value).map(|ms| u64::from_ne_bytes(ms.to_ne_bytes()) ^ SIGN)
}

fn ms(tick: u64) -> i64 {
    i64::from_ne_bytes((tick ^ SIGN).to_ne_bytes())
}

/// Hierarchical timing wheel: 1 ms, 6 levels of 64 slots, FIFO among equal deadlines.
#[pyclass(frozen, generic, module = "catga._core")]
pub struct Wheel(Mutex<wheel::Wheel<Py<PyAny>>>);

impl Wheel {
    fn lock(&self) -> MutexGuard<'_, wheel::Wheel<Py<PyAny>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn full<T>(_item: T) -> PyErr {
    PyMemoryError::new_err("the wheel holds 4,294,967,295 timers, which is all it can")
}

#[pymethods]
impl Wheel {
    #[new]
    fn new(now_ms: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Mutex::new(wheel::Wheel::new(tick("now_ms", now_ms)?))))
    }

    /// A key for `cancel` and `reset`; never reused while the wheel lives.
    fn insert(&self, deadline_ms: &Bound<'_, PyAny>, item: Py<PyAny>) -> PyResult<u64> {
        let deadline = tick("deadline_ms", deadline_ms)?;
        let inserted = self.lock().insert(deadline, item);
        inserted.map_err(full)
    }

    /// All of them or, where an argument is wrong, none.
    fn insert_many<'py>(
        &self,
        deadlines_ms: &Bound<'py, PyAny>,
        items: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let deadlines = arguments::items(deadlines_ms, |deadline| tick("deadlines_ms", &deadline))?;
        let items = arguments::items(items, |item| Ok(item.unbind()))?;
        if deadlines.len() != items.len() {
            let (deadlines, items) = (deadlines.len(), items.len());
            return Err(PyValueError::new_err(format!("{deadlines} deadlines for {items} items")));
        }
        let mut pairs = deadlines.into_iter().zip(items);
        let keys: Result<Vec<u64>, _> = {
            let mut wheel = self.lock();
            pairs.by_ref().map(|(deadline, item)| wheel.insert(deadline, item)).collect()
        };
        PyList::new(deadlines_ms.py(), keys.map_err(full)?)
    }

    /// The item, or None when the key fired or was cancelled before.
    fn cancel(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let key = arguments::unsigned("key", key, u64::MAX)?;
        Ok(self.lock().cancel(key))
    }

    /// Moves a pending timer; False when there is none. It then ranks last among its new equals.
    fn reset(&self, key: &Bound<'_, PyAny>, deadline_ms: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (key, deadline) = (arguments::unsigned("key", key, u64::MAX)?, tick("deadline_ms", deadline_ms)?);
        Ok(self.lock().reset(key, deadline))
    }

    /// Everything due, by deadline, FIFO among equals.
    fn drain<'py>(&self, now_ms: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let now = tick("now_ms", now_ms)?;
        let due = self.lock().drain(now);
        PyList::new(now_ms.py(), due)
    }

    /// The earliest deadline pending, exact.
    fn next_deadline(&self) -> Option<i64> {
        self.lock().next_deadline().map(ms)
    }

    /// Everything pending, in the order of `drain`.
    fn clear<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let items = self.lock().clear();
        PyList::new(py, items)
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    // Not to wait here: whoever holds the lock may itself wait for the collector. Unvisited items merely look used.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let wheel = match self.0.try_lock() {
            Ok(wheel) => wheel,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        wheel.items().try_for_each(|item| visit.call(item))
    }

    fn __clear__(&self) {
        let items = self.lock().clear();
        drop(items);
    }
}
