//! Frames for Python: one call a frame, or one for all that a read brought.

use catga_core::frame::{Fault, Frame, FrameError as Error, MAX_BYTES, checksum};
use pyo3::IntoPyObjectExt;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PySlice, PyString, PyTuple};

use crate::arguments;

/// Payloads above this are views: below, making a view costs more than copying (measured: see `docs/frames.md`).
const COPY_UP_TO: usize = 8192;

/// Bytes that are no frame: `code` (a stable `CTG-` code), `offset`.
#[pyclass(frozen, extends = PyValueError, module = "catga._core")]
pub struct FrameError {
    #[pyo3(get)]
    code: Py<PyString>,
    #[pyo3(get)]
    offset: usize,
}

#[pymethods]
impl FrameError {
    // The parameters are what `BaseException` keeps as `args`, so that pickling and copying work by themselves.
    #[new]
    #[pyo3(signature = (message, code, offset))]
    fn new(message: &Bound<'_, PyAny>, code: Py<PyString>, offset: usize) -> Self {
        let _ = message;
        Self { code, offset }
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let args = slf.getattr("args")?;
        Ok(format!("{} at byte {}: {}", this.code, this.offset, args.get_item(0)?))
    }
}

fn raised(error: Error) -> PyErr {
    PyErr::new::<FrameError, _>((error.reason, error.fault.code(), error.offset))
}

/// The bytes of one of the three types a frame comes in. What can change under our eyes is copied first: its owner may
/// then reuse it at once, and no view of ours keeps a `bytearray` from being resized.
fn steady<'py>(source: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    match source.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.clone()),
        Err(_) => Ok(PyBytes::new(source.py(), &copied(source)?)),
    }
}

fn copied(source: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    match PyBuffer::<u8>::get(source) {
        Ok(buffer) => buffer.to_vec(source.py()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "expected bytes, bytearray or a memoryview of bytes, not {}",
            source.get_type().name()?
        ))),
    }
}

/// Builds the tuples of one buffer. Neighbours mostly carry the same type: its string is made once.
struct Reader<'py, 'a> {
    source: &'a Bound<'py, PyBytes>,
    view: Option<Bound<'py, PyMemoryView>>,
    name: Option<(&'a str, Bound<'py, PyString>)>,
}

impl<'py, 'a> Reader<'py, 'a> {
    fn new(source: &'a Bound<'py, PyBytes>) -> Self {
        Self { source, view: None, name: None }
    }

    /// `end` is where the frame, and with it the payload, ends in the source.
    fn tuple(&mut self, frame: &Frame<'a>, end: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = self.source.py();
        let bytes = |part: Option<&[u8]>| match part {
            Some(part) => PyBytes::new(py, part).into_any(),
            None => py.None().into_bound(py),
        };
        let name = match &self.name {
            Some((name, string)) if *name == frame.type_name => string.clone(),
            _ => {
                let string = PyString::new(py, frame.type_name);
                self.name = Some((frame.type_name, string.clone()));
                string
            }
        };
        let fields: [Bound<'py, PyAny>; 13] = [
            frame.kind.into_bound_py_any(py)?,
            frame.flags.into_bound_py_any(py)?,
            frame.codec.into_bound_py_any(py)?,
            frame.priority.into_bound_py_any(py)?,
            frame.schema_version.into_bound_py_any(py)?,
            PyBytes::new(py, &frame.id).into_any(),
            frame.created_ms.into_bound_py_any(py)?,
            frame.due_ms.into_bound_py_any(py)?,
            frame.deadline_ms.into_bound_py_any(py)?,
            name.into_any(),
            bytes(frame.key),
            bytes(frame.ext),
            if frame.payload.len() <= COPY_UP_TO {
                PyBytes::new(py, frame.payload).into_any()
            } else {
                self.payload(end - frame.payload.len(), end)?
            },
        ];
        Ok(PyTuple::new(py, fields)?.into_any())
    }

    fn payload(&mut self, start: usize, end: usize) -> PyResult<Bound<'py, PyAny>> {
        let view = match &self.view {
            Some(view) => view,
            None => self.view.insert(PyMemoryView::from(self.source.as_any())?),
        };
        view.get_item(PySlice::new(view.py(), start.try_into()?, end.try_into()?, 1))
    }
}

fn limit(max_bytes: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
    let Some(max_bytes) = max_bytes else { return Ok(MAX_BYTES) };
    Ok(usize::try_from(arguments::unsigned("max_bytes", max_bytes, u64::MAX)?)?)
}

fn read_whole<'py>(frame: &Bound<'py, PyBytes>, max_bytes: usize) -> PyResult<Result<Bound<'py, PyAny>, Error>> {
    let bytes = frame.as_bytes();
    Frame::read_whole(bytes, max_bytes)
        .map(|read| Reader::new(frame).tuple(&read, bytes.len()))
        .map_or_else(|error| Ok(Err(error)), |tuple| tuple.map(Ok))
}

/// The frame of one message; what `unpack` would refuse is refused here first.
#[pyfunction]
#[pyo3(signature = (
    kind, codec, priority, schema_version, id, created_ms, due_ms, deadline_ms, r#type, key, ext, payload,
    flags = None, max_bytes = None,
), text_signature = "(kind, codec, priority, schema_version, id, created_ms, due_ms, deadline_ms, type, key, ext, \
    payload, flags=0, max_bytes=16777216)")]
#[allow(clippy::too_many_arguments)] // The frame's own fields: a record would cost more to build than the frame.
pub fn pack<'py>(
    py: Python<'py>,
    kind: &Bound<'py, PyAny>,
    codec: &Bound<'py, PyAny>,
    priority: &Bound<'py, PyAny>,
    schema_version: &Bound<'py, PyAny>,
    id: &[u8],
    created_ms: &Bound<'py, PyAny>,
    due_ms: &Bound<'py, PyAny>,
    deadline_ms: &Bound<'py, PyAny>,
    r#type: &str,
    key: Option<&[u8]>,
    ext: Option<&[u8]>,
    payload: &Bound<'py, PyAny>,
    flags: Option<&Bound<'py, PyAny>>,
    max_bytes: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let byte = |name, value| arguments::unsigned(name, value, 255).map(|byte| byte.to_le_bytes()[0]);
    let held = if payload.is_instance_of::<PyBytes>() { Vec::new() } else { copied(payload)? };
    let schema_version = arguments::unsigned("schema_version", schema_version, u16::MAX.into())?;
    let frame = Frame {
        kind: byte("kind", kind)?,
        flags: flags.map_or(Ok(0), |flags| byte("flags", flags))?,
        codec: byte("codec", codec)?,
        priority: arguments::unsigned("priority", priority, 7)?.to_le_bytes()[0],
        schema_version: u16::try_from(schema_version).unwrap_or_default(),
        id: id.try_into().map_err(|_| PyValueError::new_err(format!("id must be 16 bytes, not {}", id.len())))?,
        created_ms: arguments::time("created_ms", created_ms)?,
        due_ms: arguments::time("due_ms", due_ms)?,
        deadline_ms: arguments::time("deadline_ms", deadline_ms)?,
        type_name: r#type,
        key,
        ext,
        payload: payload.cast::<PyBytes>().map_or(&held, |payload| payload.as_bytes()),
    };
    let size = frame.size(limit(max_bytes)?).map_err(raised)?;
    PyBytes::new_with(py, size, |out| frame.write(out).map(drop).map_err(raised))
}

/// One whole frame.
#[pyfunction]
#[pyo3(signature = (frame, max_bytes = None), text_signature = "(frame, max_bytes=16777216)")]
pub fn unpack<'py>(frame: &Bound<'py, PyAny>, max_bytes: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let max_bytes = limit(max_bytes)?;
    read_whole(&steady(frame)?, max_bytes)?.map_err(raised)
}

/// One call for a batch; a bad frame becomes its error in its own place.
#[pyfunction]
#[pyo3(signature = (frames, max_bytes = None), text_signature = "(frames, max_bytes=16777216)")]
pub fn unpack_many<'py>(
    frames: &Bound<'py, PyAny>,
    max_bytes: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let max_bytes = limit(max_bytes)?;
    let py = frames.py();
    let read = arguments::items(frames, |frame| match read_whole(&steady(&frame)?, max_bytes)? {
        Ok(tuple) => Ok(tuple),
        Err(error) => Ok(raised(error).into_value(py).into_bound(py).into_any()),
    })?;
    PyList::new(py, read)
}

/// The whole frames at the start of a buffer, and how many bytes they took.
#[pyfunction]
#[pyo3(signature = (buffer, max_bytes = None), text_signature = "(buffer, max_bytes=16777216)")]
pub fn split<'py>(
    buffer: &Bound<'py, PyAny>,
    max_bytes: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyList>, usize)> {
    let max_bytes = limit(max_bytes)?;
    let source = steady(buffer)?;
    let bytes = source.as_bytes();
    let mut reader = Reader::new(&source);
    let mut tuples = Vec::new();
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        match Frame::read(rest, max_bytes) {
            Ok((frame, size)) => {
                taken += size;
                tuples.push(reader.tuple(&frame, taken)?);
            }
            Err(Error { fault: Fault::Truncated, .. }) => break,
            // The sound frames before a bad one are not lost to it: they come first, and the next call starts at it.
            Err(error) if tuples.is_empty() => return Err(raised(error)),
            Err(_) => break,
        }
    }
    Ok((PyList::new(buffer.py(), tuples)?, taken))
}

/// CRC-32C of `data`, going on from `value`.
#[pyfunction]
#[pyo3(signature = (data, value = None), text_signature = "(data, value=0)")]
pub fn crc32c(data: &Bound<'_, PyAny>, value: Option<&Bound<'_, PyAny>>) -> PyResult<u32> {
    let value = value.map_or(Ok(0), |value| arguments::unsigned("value", value, u32::MAX.into()))?;
    let value = u32::try_from(value)?;
    match data.cast::<PyBytes>() {
        Ok(bytes) => Ok(checksum(bytes.as_bytes(), value)),
        Err(_) => Ok(checksum(&copied(data)?, value)),
    }
}
