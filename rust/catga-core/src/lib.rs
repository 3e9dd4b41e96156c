//! The Python-free core of Catga: what costs much when it is done per message in Python.
//!
//! Every part takes the time (`now`) and its randomness from its caller, so that a whole application can be simulated.

pub mod batcher;
pub mod counters;
pub mod frame;
pub mod histogram;
pub mod ids;
pub mod lanes;
pub mod ring;
pub mod wheel;
