//! The system's own time: every message is stamped with it, and a method in Python costs four times the reading.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;

/// Milliseconds since 1970 by the system's clock, which may be set.
#[pyfunction]
pub fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => -ms(before.duration()),
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
