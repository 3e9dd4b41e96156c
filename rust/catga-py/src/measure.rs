//! Histogram and counters for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use catga_core::{counters, histogram};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::arguments;

/// More than a row of counters is ever for; a wrong argument must not become an allocation that fails.
const MOST_COUNTERS: u64 = 1 << 20;

/// Log-linear histogram of integers, two significant digits, mergeable, fixed memory.
#[pyclass(frozen, module = "catga._core")]
pub struct Histogram(Mutex<histogram::Histogram>);

impl Histogram {
    fn lock(&self) -> MutexGuard<'_, histogram::Histogram> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Histogram {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn record(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = arguments::unsigned("value", value, u64::MAX)?;
        self.lock().record(value);
        Ok(())
    }

    /// From one reading of a clock in seconds to a later one, in nanoseconds; a clock that stepped back gives 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    fn record_span(&self, began: f64, ended: f64) {
        self.lock().record(((ended - began) * 1e9) as u64);
    }

    /// All of them or, where one is wrong, none.
    fn record_many(&self, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let values = arguments::items(values, |value| arguments::unsigned("value", &value, u64::MAX))?;
        let mut histogram = self.lock();
        for value in values {
            histogram.record(value);
        }
        Ok(())
    }

    /// The value at quantile 0..1, at most 1 % above the true one; 0 when empty.
    fn quantile(&self, q: f64) -> PyResult<u64> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err(format!("q must be from 0 to 1, not {q}")));
        }
        Ok(self.lock().quantile(q))
    }

    // A copy of the other first: two that merge into each other at once would wait for each other's lock.
    fn merge(&self, other: &Bound<'_, Self>) {
        let other = other.get().lock().clone();
        self.lock().merge(&other);
    }

    /// (upper bound inclusive, count) of every bucket that is not empty.
    fn buckets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let buckets: Vec<(u64, u64)> = self.lock().buckets().collect();
        PyList::new(py, buckets)
    }

    fn reset(&self) {
        self.lock().reset();
    }

    #[getter]
    fn count(&self) -> u64 {
        self.lock().count()
    }

    #[getter]
    fn total(&self) -> u128 {
        self.lock().total()
    }

    #[getter]
    fn highest(&self) -> u64 {
        self.lock().highest()
    }
}

/// A fixed row of 64-bit counters that any thread may add to.
#[pyclass(frozen, module = "catga._core")]
pub struct Counters(counters::Counters);

#[pymethods]
impl Counters {
    #[new]
    fn new(size: &Bound<'_, PyAny>) -> PyResult<Self> {
        let size = arguments::unsigned("size", size, MOST_COUNTERS)?;
        Ok(Self(counters::Counters::new(usize::try_from(size)?)))
    }

    #[pyo3(signature = (index, amount = None), text_signature = "(self, index, amount=1)")]
    fn add(&self, index: &Bound<'_, PyAny>, amount: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let amount = amount.map_or(Ok(1), |amount| arguments::unsigned("amount", amount, u64::MAX))?;
        let index = arguments::unsigned("index", index, u64::MAX)?;
        if usize::try_from(index).is_ok_and(|index| self.0.add(index, amount)) {
            return Ok(());
        }
        Err(PyIndexError::new_err(format!("no counter {index}: there are {}", self.0.read().len())))
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.read())
    }
}
