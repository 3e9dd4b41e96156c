//! What every holder of Python objects shares.

use std::sync::{Mutex, PoisonError};

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySequence, PyTuple};

/// A Python object in the keeping of the core.
pub type Item = Py<PyAny>;

/// State behind a lock under which no Python code ever runs.
///
/// Dropping an item may run a finaliser that calls back into its holder, and so may any allocation that starts a garbage
/// collection. So whoever has the state neither drops an item nor makes a Python object meanwhile: items leave through the
/// result, and are dropped or handed over once the lock is free.
pub struct Held<S>(Mutex<S>);

impl<S> Held<S> {
    pub const fn new(state: S) -> Self {
        Self(Mutex::new(state))
    }

    pub fn with<R>(&self, act: impl FnOnce(&mut S) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the garbage collector, which must not wait. What it is not shown it takes for reachable, so nothing is freed
    /// wrongly if the lock is taken.
    pub fn traverse(&self, show: impl FnOnce(&S) -> Result<(), PyTraverseError>) -> Result<(), PyTraverseError> {
        self.0.try_lock().map_or(Ok(()), |state| show(&state))
    }
}

/// Python allocates a class's fields, and on every platform promises an alignment of 8 bytes and no more, whatever they ask
/// for. What wants more (whole cache lines, 128-bit numbers) goes into a box.
macro_rules! ordinarily_aligned {
    ($class:ty) => {
        const _: () = assert!(align_of::<$class>() <= 8);
    };
}
pub(crate) use ordinarily_aligned;

/// An integer argument of at least `least`.
pub fn at_least(least: u64, name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    match value.extract::<i64>().map(u64::try_from) {
        Ok(Ok(number)) if number >= least => Ok(number),
        Ok(_) => Err(PyValueError::new_err(format!("{name} must be {least} or more, not {value}"))),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Err(PyValueError::new_err(format!("{name} must fit 63 bits, and be {least} or more")))
        }
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => Err(wrong_type(name, "an int", value)),
        Err(error) => Err(error),
    }
}

/// As [`at_least`], for a number of things.
pub fn count_of(least: u64, name: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    // A platform that cannot count so far cannot hold so many either.
    at_least(least, name, value).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// The members of a sequence: a list or a tuple as it is, anything else copied first.
pub fn members<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        return Ok(list.iter().collect());
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return Ok(tuple.iter().collect());
    }
    let Ok(sequence) = value.cast::<PySequence>() else { return Err(wrong_type(name, "a sequence", value)) };
    Ok(sequence.to_list()?.iter().collect())
}

/// A key's bytes, still Python's: the core copies what it keeps.
pub fn key_of<'a>(name: &str, value: &'a Bound<'_, PyAny>) -> PyResult<Option<&'a [u8]>> {
    if value.is_none() {
        return Ok(None);
    }
    value.cast::<PyBytes>().map(|key| Some(key.as_bytes())).map_err(|_| wrong_type(name, "bytes or None", value))
}

/// As [`key_of`], for several.
pub fn keys_of<'a>(name: &str, values: &'a [Bound<'_, PyAny>]) -> PyResult<Vec<Option<&'a [u8]>>> {
    values.iter().map(|value| key_of(name, value)).collect()
}

pub fn wrong_type(name: &str, expected: &str, value: &Bound<'_, PyAny>) -> PyErr {
    match value.get_type().name() {
        Ok(kind) => PyTypeError::new_err(format!("{name} must be {expected}, not {kind}")),
        Err(error) => error,
    }
}

/// A sequence that goes with another has its length.
pub fn same_length(name: &str, found: usize, items: usize) -> PyResult<()> {
    if found == items {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("{name} has {found} members for {items} items")))
}
