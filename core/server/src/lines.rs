//! Places for handing mail to other servers: a server that is slow holds places of its own, and never those in which all
//! other mail is worked on (attack S10).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Deliveries to other servers at once, all next hops together: each is a connection and a message whose header section
/// (1 MiB at most) is loaded. Ours.
const ALL_MAX: usize = 256;

/// What is being handed over now.
pub(crate) struct Lines {
    /// At once to one next hop.
    each: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_hop: HashMap<String, usize>,
}

/// A place for one delivery, given back when it is dropped.
pub(crate) struct Place {
    lines: Arc<Lines>,
    hop: String,
}

impl Lines {
    /// With so many places for each next hop.
    pub(crate) fn new(each: usize) -> Lines {
        Lines { each: each.max(1), taken: Mutex::default(), freed: Notify::new() }
    }

    /// Told when a place is given back.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Whether any hop has no place: then it is worth asking which.
    pub(crate) fn any_full(&self) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all >= ALL_MAX || taken.by_hop.values().any(|count| *count >= self.each)
    }

    /// Whether a hop has no place; `hop` as of `Router::group`.
    pub(crate) fn is_full(&self, hop: &str) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all >= ALL_MAX || taken.by_hop.get(hop).is_some_and(|count| *count >= self.each)
    }

    /// A place at a hop, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, hop: String) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.by_hop.get(&hop).copied().unwrap_or(0);
        if taken.all >= ALL_MAX || here >= self.each {
            return None;
        }
        taken.all += 1;
        taken.by_hop.insert(hop.clone(), here + 1);
        Some(Place { lines: self.clone(), hop })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.lines.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_hop.get_mut(&self.hop) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.by_hop.remove(&self.hop)),
        }
        self.lines.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_a_slow_hop_takes_no_place_of_another() {
        let lines = Arc::new(Lines::new(2));
        let held: Vec<Place> = (0..3).filter_map(|_| lines.enter("slow".into())).collect();
        assert_eq!(held.len(), 2);
        assert!(lines.is_full("slow") && lines.any_full() && !lines.is_full("other"));
        assert!(lines.enter("other".into()).is_some());
        drop(held);
        assert!(!lines.any_full() && lines.enter("slow".into()).is_some());
        assert!(
            lines.taken.lock().is_ok_and(|taken| taken.by_hop.is_empty() && taken.all == 0),
            "nothing is left behind"
        );
    }

    #[test]
    fn s10_all_together_are_bounded() {
        let lines = Arc::new(Lines::new(2));
        let held: Vec<Place> = (0..ALL_MAX * 2).filter_map(|hop| lines.enter(format!("{hop}"))).collect();
        assert_eq!(held.len(), ALL_MAX);
        assert!(lines.is_full("a hop that was never asked"));
    }
}
