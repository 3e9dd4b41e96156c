//! Arguments of Python calls: numbers in their range, sequences at their known length.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// An int of 0..=highest; outside it a `ValueError` that names the argument.
pub fn unsigned(name: &str, value: &Bound<'_, PyAny>, highest: u64) -> PyResult<u64> {
    match value.extract::<u64>() {
        Ok(number) if number <= highest => Ok(number),
        Err(error) if !error.is_instance_of::<PyOverflowError>(value.py()) => Err(error),
        _ => Err(PyValueError::new_err(format!("{name} must be from 0 to {highest}, not {value}"))),
    }
}

/// A time in ms, of any sign.
pub fn time(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    match value.extract::<i64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Err(PyValueError::new_err(format!("{name} must be within 64 bits, not {value}")))
        }
        extracted => extracted,
    }
}

/// The items of a sequence, held; `convert` may run Python code, so nothing of ours may be locked meanwhile.
pub fn items<'py, T>(
    sequence: &Bound<'py, PyAny>,
    mut convert: impl FnMut(Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    if let Ok(list) = sequence.cast_exact::<PyList>() {
        return list.iter().map(convert).collect();
    }
    if let Ok(tuple) = sequence.cast_exact::<PyTuple>() {
        return tuple.iter().map(convert).collect();
    }
    sequence.try_iter()?.map(|item| convert(item?)).collect()
}
