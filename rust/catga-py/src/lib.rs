//! `catga._core`: the thin Python skin over [`catga_core`]. No logic lives here.

use pyo3::prelude::*;

mod arguments;
mod batcher;
mod build;
mod clock;
mod frame;
mod holder;
mod ids;
mod lanes;
mod measure;
mod ring;
mod step;
mod wheel;

/// The extension module `catga._core`.
#[pymodule(gil_used = true)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::batcher::Batcher;
    #[pymodule_export]
    use super::build::build_info;
    #[pymodule_export]
    use super::clock::wall_ms;
    #[pymodule_export]
    use super::frame::{FrameError, crc32c, pack, split, unpack, unpack_many};
    #[pymodule_export]
    use super::ids::{Ids, Snowflake};
    #[pymodule_export]
    use super::lanes::Lanes;
    #[pymodule_export]
    use super::measure::{Counters, Histogram};
    #[pymodule_export]
    use super::ring::Ring;
    #[pymodule_export]
    use super::step::{Suspended, first_step};
    #[pymodule_export]
    use super::wheel::Wheel;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::build::warn_of_debug_build(module.py())
    }
}
