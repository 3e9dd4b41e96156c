//! `catga._core`: the thin Python skin over [`catga_core`]. No logic lives here.

use pyo3::prelude::*;

mod arguments;
mod build;
mod frame;
mod ids;
mod measure;
mod wheel;

/// The extension module `catga._core`.
#[pymodule(gil_used = true)]
mod _core {
    #[pymodule_export]
    use super::build::build_info;
    #[pymodule_export]
    use super::frame::{FrameError, crc32c, pack, split, unpack, unpack_many};
    #[pymodule_export]
    use super::ids::{Ids, Snowflake};
    #[pymodule_export]
    use super::measure::{Counters, Histogram};
    #[pymodule_export]
    use super::wheel::Wheel;
}
