//! Obvious lanes: flat lists, searched from the front each time.

use catga_core::lanes::{Policy, Ranking};

pub struct Row {
    pub item: u32,
    key: Option<u8>,
    priority: u8,
    put_ms: u64,
}

/// A keyless item, or a key whose first item may run; in the order in which they became so.
pub struct Ready {
    key: Option<u8>,
    item: u32,
    since_ms: u64,
}

pub struct Model {
    capacity: usize,
    policy: Policy,
    ranking: Ranking,
    now_ms: u64,
    pub queued: Vec<Row>,
    pub ready: Vec<Ready>,
    pub in_flight: Vec<u8>,
    pub accepted: u64,
    pub rejected: u64,
    pub dropped: u64,
    pub drained: u64,
}

impl Model {
    pub fn new(capacity: usize, policy: Policy, ranking: Ranking) -> Self {
        let (queued, ready, in_flight) = (Vec::new(), Vec::new(), Vec::new());
        let (accepted, rejected, dropped, drained) = (0, 0, 0, 0);
        Self { capacity, policy, ranking, now_ms: 0, queued, ready, in_flight, accepted, rejected, dropped, drained }
    }

    pub fn observe(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    pub fn put(&mut self, item: u32, key: Option<u8>, priority: u8, now_ms: u64) -> (bool, Vec<u32>, Vec<u32>) {
        self.observe(now_ms);
        let mut gone = vec![];
        if self.queued.len() == self.capacity {
            match self.policy {
                Policy::Block => return (false, vec![], vec![item]),
                Policy::Reject => {
                    self.rejected += 1;
                    return (false, vec![], vec![item]);
                }
                Policy::DropNewest => {
                    self.dropped += 1;
                    return (false, vec![item], vec![]);
                }
                Policy::DropOldest => {
                    self.dropped += 1;
                    let lowest = self.queued.iter().map(|row| row.priority).max().unwrap();
                    if priority > lowest {
                        return (false, vec![item], vec![]);
                    }
                    gone.push(self.evict(lowest));
                }
            }
        }
        self.accepted += 1;
        self.queued.push(Row { item, key, priority, put_ms: self.now_ms });
        let waits = key.is_some_and(|key| self.in_flight.contains(&key) || self.listed(key).is_some());
        if !waits {
            self.ready.push(Ready { key, item, since_ms: self.now_ms });
        }
        (true, gone, vec![])
    }

    pub fn drain(&mut self, most: usize, now_ms: u64) -> Vec<u32> {
        self.observe(now_ms);
        let mut out = vec![];
        while out.len() < most && !self.ready.is_empty() {
            let rank = |at: &usize| {
                let ready = &self.ready[*at];
                let level = u64::from(self.head(ready).priority);
                match self.ranking {
                    Ranking::Strict => level,
                    Ranking::Aged(aging) => ready.since_ms.saturating_add(level.saturating_mul(aging)),
                }
            };
            let first = (0..self.ready.len()).min_by_key(rank).unwrap();
            let item = self.head(&self.ready[first]).item;
            let ready = self.ready.remove(first);
            self.in_flight.extend(ready.key);
            self.queued.retain(|row| row.item != item);
            out.push(item);
        }
        self.drained += out.len() as u64;
        out
    }

    pub fn done(&mut self, key: u8) -> bool {
        if !self.in_flight.contains(&key) {
            return false;
        }
        self.in_flight.retain(|other| *other != key);
        let next = self.queued.iter().find(|row| row.key == Some(key)).map(|row| row.item);
        self.ready.extend(next.map(|item| Ready { key: Some(key), item, since_ms: self.now_ms }));
        next.is_some()
    }

    pub fn clear(&mut self) -> Vec<u32> {
        self.ready.clear();
        self.in_flight.clear();
        self.queued.drain(..).map(|row| row.item).collect()
    }

    pub fn by_priority(&self) -> [usize; 8] {
        std::array::from_fn(|level| self.queued.iter().filter(|row| usize::from(row.priority) == level).count())
    }

    pub fn oldest_ms(&self) -> u64 {
        self.queued.first().map_or(0, |row| self.now_ms - row.put_ms)
    }

    fn listed(&self, key: u8) -> Option<usize> {
        self.ready.iter().position(|ready| ready.key == Some(key))
    }

    fn head(&self, ready: &Ready) -> &Row {
        let same = |row: &&Row| ready.key.map_or(row.item == ready.item, |key| row.key == Some(key));
        self.queued.iter().find(same).unwrap()
    }

    fn evict(&mut self, lowest: u8) -> u32 {
        let at = self.queued.iter().position(|row| row.priority == lowest).unwrap();
        let victim = self.queued.remove(at);
        let Some(key) = victim.key else {
            self.ready.retain(|ready| ready.key.is_some() || ready.item != victim.item);
            return victim.item;
        };
        let first = !self.queued[..at].iter().any(|row| row.key == Some(key));
        let next = self.queued.iter().find(|row| row.key == Some(key));
        let next = next.map(|row| (row.item, row.priority));
        if let (true, Some(listed)) = (first, self.listed(key)) {
            if next.is_none_or(|(_, priority)| priority != lowest) {
                self.ready.remove(listed);
                self.ready.extend(next.map(|(item, _)| Ready { key: Some(key), item, since_ms: self.now_ms }));
            }
        }
        victim.item
    }
}
