//! The spaces that are open, for whoever looks at all of them.
//!
//! Owns which they are, not their lives: whoever opened a space ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Room, Space};
use crate::lock::held;

/// A room of a space that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowded {
    /// The room.
    pub room: Room,
    /// Connections.
    pub members: usize,
    /// Persons behind them; a connection whose person is not known counts as one.
    pub people: usize,
}

/// The rooms of a space with the most members, the fullest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fullest {
    /// As many as were asked for.
    pub rooms: Vec<Crowded>,
    /// How many more rooms somebody is in.
    pub more: usize,
}

/// The open spaces by name; cheap to clone.
#[derive(Clone, Default)]
pub struct Spaces(Arc<Mutex<BTreeMap<&'static str, Space>>>);

impl Spaces {
    /// Adds a space, in the place of an earlier one of its name.
    pub fn add(&self, name: &'static str, space: &Space) {
        self.lock().insert(name, space.clone());
    }

    /// The fullest rooms of each space, at most so many of each.
    pub async fn fullest(&self, most: usize) -> Vec<(&'static str, Fullest)> {
        let spaces: Vec<_> = self.lock().iter().map(|(name, space)| (*name, space.clone())).collect();
        let asked = spaces.iter().map(|(name, space)| async move { (*name, space.fullest(most).await) });
        futures_util::future::join_all(asked).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Space>> {
        held(&self.0)
    }
}
