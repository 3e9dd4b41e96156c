//! Where timers live: one vector, linked through by index, with keys that outlast what they name.

/// No index: the end of a chain.
pub const NONE: u32 = u32::MAX;

/// A pending timer, or a vacant place (no item) that `next` chains into the free list.
#[derive(Debug)]
pub struct Timer<T> {
    item: Option<T>,
    pub deadline: u64,
    generation: u32,
    pub previous: u32,
    pub next: u32,
    pub list: u32,
}

#[derive(Debug)]
pub struct Slab<T> {
    timers: Vec<Timer<T>>,
    free: u32,
    len: usize,
}

impl<T> Slab<T> {
    pub const fn new() -> Self {
        Self { timers: Vec::new(), free: NONE, len: 0 }
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    /// The index and the key of a new, unlinked timer; the item comes back where 2^32 - 1 are pending.
    pub fn add(&mut self, deadline: u64, item: T) -> Result<(u32, u64), T> {
        let index = self.free;
        if let Some(timer) = self.timers.get_mut(index as usize) {
            self.free = timer.next;
            self.len += 1;
            timer.item = Some(item);
            timer.deadline = deadline;
            return Ok((index, key(index, timer.generation)));
        }
        let index = match u32::try_from(self.timers.len()) {
            Ok(index) if index != NONE => index,
            _ => return Err(item),
        };
        // Generations begin at 1, so that no key is 0 and falsy.
        let timer = Timer { item: Some(item), deadline, generation: 1, previous: NONE, next: NONE, list: 0 };
        self.timers.push(timer);
        self.len += 1;
        Ok((index, key(index, 1)))
    }

    /// Takes the item of an unlinked timer; its place is free for another.
    pub fn release(&mut self, index: u32) -> Option<T> {
        let timer = self.timers.get_mut(index as usize)?;
        let item = timer.item.take()?;
        self.len -= 1;
        // A place whose generations are used up is given up, lest a key come back.
        if let Some(generation) = timer.generation.checked_add(1) {
            timer.generation = generation;
            timer.next = self.free;
            self.free = index;
        }
        Some(item)
    }

    /// The index of the pending timer that `key` names.
    pub fn find(&self, key: u64) -> Option<u32> {
        let index = u32::try_from(key & u64::from(u32::MAX)).ok()?;
        let timer = self.get(index)?;
        (u64::from(timer.generation) == key >> 32 && timer.item.is_some()).then_some(index)
    }

    pub fn get(&self, index: u32) -> Option<&Timer<T>> {
        self.timers.get(index as usize)
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut Timer<T>> {
        self.timers.get_mut(index as usize)
    }

    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.timers.iter().filter_map(|timer| timer.item.as_ref())
    }

    #[cfg(test)]
    pub fn age(&mut self, index: u32, generation: u32) {
        if let Some(timer) = self.get_mut(index) {
            timer.generation = generation;
        }
    }
}

const fn key(index: u32, generation: u32) -> u64 {
    ((generation as u64) << 32) | index as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_place_whose_generations_are_used_up_is_never_given_again() {
        let mut slab = Slab::new();
        let (index, first) = slab.add(1, 'a').unwrap();
        slab.age(index, u32::MAX);
        assert_eq!(slab.find(first), None);
        let last = key(index, u32::MAX);
        assert_eq!(slab.find(last), Some(index));
        assert_eq!(slab.release(index), Some('a'));
        assert_eq!(slab.find(last), None);
        let (other, _) = slab.add(2, 'b').unwrap();
        assert_ne!(other, index);
    }

    #[test]
    fn a_freed_place_is_used_again_under_another_key() {
        let mut slab = Slab::new();
        let (index, first) = slab.add(1, 'a').unwrap();
        assert_eq!(slab.release(index), Some('a'));
        assert_eq!(slab.find(key(index, 2)), None, "a key that was never given");
        let (again, second) = slab.add(2, 'b').unwrap();
        assert_eq!(index, again);
        assert_ne!(first, second);
        assert_eq!((slab.find(first), slab.find(second), slab.len()), (None, Some(index), 1));
    }

    #[test]
    fn a_timer_of_a_pointer_is_half_a_cache_line() {
        assert_eq!(size_of::<Timer<Box<u8>>>(), 40 - 8);
    }
}
