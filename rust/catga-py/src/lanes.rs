//! `Lanes`: bounded, prioritised dispatch.

use catga_core::lanes::{self as core, MOST_CAPACITY, Policy, Priority, Put, Ranking};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::holder::{
    Held, Item, at_least, count_of, key_of, keys_of, members, ordinarily_aligned, same_length, wrong_type,
};

/// The answers of a put that drops nothing: made once, because a fresh tuple costs as much as the put.
static ACCEPTED: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
static REFUSED: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();

/// Bounded, prioritised dispatch: 8 priorities (0 first), one item in flight per key.
#[pyclass(frozen, generic, module = "catga._core")]
pub struct Lanes(Held<Box<core::Lanes<Item>>>);

ordinarily_aligned!(Lanes);

#[pymethods]
impl Lanes {
    #[new]
    #[pyo3(signature = (capacity, *, policy = "block", strict = false, aging_ms = None))]
    #[pyo3(text_signature = "(capacity, *, policy='block', strict=False, aging_ms=1000)")]
    fn new(
        capacity: &Bound<'_, PyAny>,
        policy: &str,
        strict: bool,
        aging_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let capacity = count_of(1, "capacity", capacity)?;
        if capacity > MOST_CAPACITY {
            return Err(PyValueError::new_err(format!("capacity must be at most {MOST_CAPACITY}, not {capacity}")));
        }
        let policy = match policy {
            "block" => Policy::Block,
            "reject" => Policy::Reject,
            "drop_oldest" => Policy::DropOldest,
            "drop_newest" => Policy::DropNewest,
            other => {
                let known = "'block', 'reject', 'drop_oldest' or 'drop_newest'";
                return Err(PyValueError::new_err(format!("policy must be {known}, not '{other}'")));
            }
        };
        let aging_ms = aging_ms.map_or(Ok(1000), |aging_ms| at_least(1, "aging_ms", aging_ms))?;
        let ranking = if strict { Ranking::Strict } else { Ranking::Aged(aging_ms) };
        Ok(Self(Held::new(Box::new(core::Lanes::new(capacity, policy, ranking)))))
    }

    fn put<'py>(
        &self,
        item: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        priority: &Bound<'py, PyAny>,
        now_ms: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = item.py();
        let key = key_of("key", key)?;
        let priority = priority_of(priority)?;
        let now_ms = at_least(0, "now_ms", now_ms)?;
        let item = item.clone().unbind();
        match self.0.with(|lanes| lanes.put(item, key, priority, now_ms)) {
            Put::Accepted => constant(py, &ACCEPTED, true),
            Put::Refused(_) => constant(py, &REFUSED, false),
            Put::Replaced(old) => (true, old).into_pyobject(py),
            Put::Dropped(item) => (false, item).into_pyobject(py),
        }
    }

    fn put_many<'py>(
        &self,
        items: &Bound<'py, PyAny>,
        keys: Option<&Bound<'py, PyAny>>,
        priorities: &Bound<'py, PyAny>,
        now_ms: &Bound<'py, PyAny>,
    ) -> PyResult<(usize, Bound<'py, PyList>)> {
        let py = items.py();
        let now_ms = at_least(0, "now_ms", now_ms)?;
        let items = members("items", items)?;
        let priorities = Priorities::of(priorities, items.len())?;
        let keys = keys.map(|keys| members("keys", keys)).transpose()?;
        let keys = keys.as_ref().map(|keys| keys_of("keys", keys)).transpose()?;
        if let Some(keys) = &keys {
            same_length("keys", keys.len(), items.len())?;
        }
        let key = |at: usize| *keys.as_ref()?.get(at)?;
        // The keys are borrowed from members that this call holds, so under the lock none of them can go.
        let rows = items.into_iter().enumerate().map(|(at, item)| (item.unbind(), key(at), priorities.at(at)));
        let batch = self.0.with(|lanes| lanes.put_many(rows, now_ms));
        Ok((batch.accepted, PyList::new(py, batch.dropped)?))
    }

    fn drain<'py>(
        &self,
        py: Python<'py>,
        most: &Bound<'py, PyAny>,
        now_ms: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let most = count_of(0, "most", most)?;
        let now_ms = at_least(0, "now_ms", now_ms)?;
        PyList::new(py, self.0.with(|lanes| lanes.drain(most, now_ms)))
    }

    fn done(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(key) = key_of("key", key)? else { return Err(wrong_type("key", "bytes", key)) };
        Ok(self.0.with(|lanes| lanes.done(key)))
    }

    fn done_many(&self, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let keys = members("keys", keys)?;
        let keys = keys_of("keys", &keys)?;
        Ok(self.0.with(|lanes| keys.iter().flatten().filter(|key| lanes.done(key)).count()))
    }

    fn ready(&self) -> usize {
        self.0.with(|lanes| lanes.ready())
    }

    fn clear<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.with(|lanes| lanes.clear()))
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = self.0.with(|lanes| lanes.statistics());
        let dict = PyDict::new(py);
        dict.set_item("queued", now.queued)?;
        dict.set_item("ready", now.ready)?;
        dict.set_item("in_flight", now.in_flight)?;
        dict.set_item("capacity", now.capacity)?;
        dict.set_item("accepted", now.counts.accepted)?;
        dict.set_item("rejected", now.counts.rejected)?;
        dict.set_item("dropped", now.counts.dropped)?;
        dict.set_item("drained", now.counts.drained)?;
        dict.set_item("oldest_ms", now.oldest_ms)?;
        dict.set_item("by_priority", PyList::new(py, now.by_priority)?)?;
        Ok(dict)
    }

    fn __len__(&self) -> usize {
        self.0.with(|lanes| lanes.len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(|lanes| lanes.iter().try_for_each(|item| visit.call(item)))
    }

    fn __clear__(&self) {
        drop(self.0.with(|lanes| lanes.clear()));
    }
}

fn constant<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyTuple>>,
    accepted: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let make = || (accepted, py.None()).into_pyobject(py).map(Bound::unbind);
    cell.get_or_try_init(py, make).map(|tuple| tuple.bind(py).clone())
}

fn priority_of(value: &Bound<'_, PyAny>) -> PyResult<Priority> {
    let number = at_least(0, "priority", value)?;
    u8::try_from(number).ok().and_then(Priority::new).ok_or_else(|| no_priority(number))
}

fn no_priority(number: u64) -> PyErr {
    PyValueError::new_err(format!("priority must be 0 to 7, not {number}"))
}

/// One priority for every item, or one for each.
enum Priorities {
    All(Priority),
    Each(Vec<Priority>),
}

impl Priorities {
    fn of(value: &Bound<'_, PyAny>, items: usize) -> PyResult<Self> {
        let Ok(bytes) = value.cast::<PyBytes>() else { return priority_of(value).map(Self::All) };
        let bytes = bytes.as_bytes();
        same_length("priorities", bytes.len(), items)?;
        let each = |byte: &u8| Priority::new(*byte).ok_or_else(|| no_priority(u64::from(*byte)));
        bytes.iter().map(each).collect::<PyResult<_>>().map(Self::Each)
    }

    fn at(&self, at: usize) -> Priority {
        match self {
            Self::All(priority) => *priority,
            // The lengths agree, so there is always one.
            Self::Each(each) => each.get(at).copied().unwrap_or(Priority::LAST),
        }
    }
}
