//! One of something for each name that is wanted now: of tenants, or of what is made. Nothing is kept of the others.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that are there.
#[derive(Debug)]
pub struct PerName<T>(Mutex<HashMap<Arc<str>, Arc<T>>>);

/// One name's, for as long as it is wanted.
#[derive(Debug)]
pub struct OfName<T> {
    all: Arc<PerName<T>>,
    name: Arc<str>,
    /// None once it is given back.
    one: Option<Arc<T>>,
}

impl<T> Default for PerName<T> {
    fn default() -> Self {
        PerName(Mutex::default())
    }
}

impl<T> PerName<T> {
    /// The name's, made anew where there is none.
    pub fn of(self: &Arc<Self>, name: &str, new: impl FnOnce() -> T) -> OfName<T> {
        let mut there = self.there();
        let (name, one) = match there.get_key_value(name) {
            Some((name, one)) => (name.clone(), one.clone()),
            None => {
                let (name, one) = (Arc::<str>::from(name), Arc::new(new()));
                there.insert(name.clone(), one.clone());
                (name, one)
            }
        };
        drop(there);
        OfName { all: self.clone(), name, one: Some(one) }
    }

    fn there(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many names have one.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.there().len()
    }
}

impl<T> OfName<T> {
    /// Whose.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl<T> Deref for OfName<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        self.one.as_ref().expect("it is given back when this is dropped")
    }
}

impl<T> Clone for OfName<T> {
    fn clone(&self) -> Self {
        OfName { all: self.all.clone(), name: self.name.clone(), one: self.one.clone() }
    }
}

impl<T> Drop for OfName<T> {
    fn drop(&mut self) {
        let mut there = self.all.there();
        // Under the lock, so that of two that go at once the second is the last.
        self.one = None;
        if there.get(&self.name).is_some_and(|one| Arc::strong_count(one) == 1) {
            there.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_name_has_one_for_as_long_as_it_is_wanted() {
        let all = Arc::<PerName<u32>>::default();
        let (first, other) = (all.of("acme", || 1), all.of("zoo", || 2));
        let (same, copy) = (all.of("acme", || 3), first.clone());
        assert_eq!((**first, **same, **other, &**first.name()), (1, 1, 2, "acme"));
        drop((first, same, other));
        assert_eq!((all.len(), **copy), (1, 1));
        drop(copy);
        assert_eq!((all.len(), **all.of("acme", || 3)), (0, 3));
    }

    #[test]
    fn nothing_is_left_of_those_that_go_at_once() {
        let all = Arc::<PerName<()>>::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| drop(all.of("acme", || ()))));
            }
        });
        assert_eq!(all.len(), 0);
    }
}
