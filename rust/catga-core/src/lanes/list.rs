//! Doubly linked lists through a [`Slab`]: first in, first out, and anything in the middle leaves in constant time.

use std::marker::PhantomData;

use super::slab::{NIL, Slab};

#[derive(Clone, Copy)]
pub(super) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    pub(super) const LOOSE: Self = Self { prev: NIL, next: NIL };
}

/// A node may be in several lists at once; `Which` names the list a link belongs to.
pub(super) trait Linked<Which> {
    fn link(&mut self) -> &mut Link;
}

pub(super) struct List<Which> {
    first: u32,
    last: u32,
    which: PhantomData<Which>,
}

impl<Which> List<Which> {
    pub(super) const fn new() -> Self {
        Self { first: NIL, last: NIL, which: PhantomData }
    }

    pub(super) const fn first(&self) -> Option<u32> {
        if self.first == NIL { None } else { Some(self.first) }
    }

    pub(super) fn push_back<N: Linked<Which>>(&mut self, slab: &mut Slab<N>, at: u32) {
        if let Some(node) = slab.get_mut(at) {
            *node.link() = Link { prev: self.last, next: NIL };
        }
        match slab.get_mut(self.last) {
            Some(last) => last.link().next = at,
            None => self.first = at,
        }
        self.last = at;
    }

    /// `at` must be in this very list: the list's ends are told from the node's own links.
    pub(super) fn unlink<N: Linked<Which>>(&mut self, slab: &mut Slab<N>, at: u32) {
        let Some(node) = slab.get_mut(at) else { return };
        let Link { prev, next } = std::mem::replace(node.link(), Link::LOOSE);
        match slab.get_mut(prev) {
            Some(before) => before.link().next = next,
            None => self.first = next,
        }
        match slab.get_mut(next) {
            Some(after) => after.link().prev = prev,
            None => self.last = prev,
        }
    }
}
