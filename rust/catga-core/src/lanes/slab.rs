//! Storage whose places stay put, so that lists can be threaded through it without an allocation per item.

/// The place that is no place: the end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// Storage above this many places is given back once it is empty, so that one burst is not paid for ever.
pub(super) const KEEP: usize = 1 << 16;

enum Slot<N> {
    Free(u32),
    Used(N),
}

pub(super) struct Slab<N> {
    slots: Vec<Slot<N>>,
    free: u32,
    used: usize,
}

impl<N> Slab<N> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: NIL, used: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// The caller keeps `len()` below `NIL`: beyond it there are no places left to name.
    pub(super) fn insert(&mut self, value: N) -> u32 {
        self.used += 1;
        let at = self.free;
        if let Some(slot) = self.slots.get_mut(at as usize) {
            if let Slot::Free(next) = slot {
                self.free = *next;
            }
            *slot = Slot::Used(value);
            return at;
        }
        self.slots.push(Slot::Used(value));
        u32::try_from(self.slots.len() - 1).unwrap_or(NIL)
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<N> {
        let slot = self.slots.get_mut(at as usize)?;
        match std::mem::replace(slot, Slot::Free(self.free)) {
            Slot::Used(value) => {
                self.free = at;
                self.used -= 1;
                if self.used == 0 && self.slots.len() > KEEP {
                    *self = Self::new();
                }
                Some(value)
            }
            free @ Slot::Free(_) => {
                *slot = free;
                None
            }
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&N> {
        match self.slots.get(at as usize) {
            Some(Slot::Used(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut N> {
        match self.slots.get_mut(at as usize) {
            Some(Slot::Used(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &N> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        })
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = N> {
        self.slots.into_iter().filter_map(|slot| match slot {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        })
    }
}
