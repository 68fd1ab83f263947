//! How much each tenant's guests compute: who computes for long gives way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much a tenant's guests may compute at once, beyond their share, before they give way.
const BURST: Duration = Duration::from_millis(10);
/// A tenant whose guests compute no more than one part in so many of one processor's time never gives way.
const SHARE: u32 = 10;
/// So many tenants are remembered before those that are square are forgotten.
const FEW: usize = 64;

/// One tenant's: a bucket that fills as its guests compute and empties as time goes.
#[derive(Debug, Default)]
pub(super) struct Account(Mutex<Bucket>);

#[derive(Debug, Default)]
struct Bucket {
    level: Duration,
    /// On the boot clock.
    at: Duration,
    owes: bool,
}

impl Account {
    /// Its guests computed for so long, until now.
    pub(super) fn charge(&self, computed: Duration, now: Duration) {
        self.at(now, |bucket| {
            // What is owed is paid within a second of calm, however long a machine stood still in between.
            bucket.level = (bucket.level + computed).min(10 * BURST);
            bucket.owes |= bucket.level > BURST;
        });
    }

    /// Its guests computed for long, and not little enough since.
    pub(super) fn owes(&self, now: Duration) -> bool {
        self.at(now, |bucket| bucket.owes)
    }

    fn at<T>(&self, now: Duration, look: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = now.saturating_sub(bucket.at) / SHARE;
        bucket.level = bucket.level.saturating_sub(paid);
        bucket.at = now.max(bucket.at);
        bucket.owes &= !bucket.level.is_zero();
        look(&mut bucket)
    }
}

/// All tenants' that computed of late.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<HashMap<Arc<str>, Arc<Account>>>);

impl Accounts {
    /// A tenant's, and its name to be shared.
    pub(super) fn of(&self, tenant: &str, now: Duration) -> (Arc<str>, Arc<Account>) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, account)) = accounts.get_key_value(tenant) {
            return (name.clone(), account.clone());
        }
        // Twice as many as were left the last time, or more: what it costs to forget is paid by those who came since.
        if accounts.len() >= FEW && accounts.len() == accounts.capacity() {
            accounts.retain(|_, account| Arc::strong_count(account) > 1 || account.owes(now));
        }
        let (name, account): (Arc<str>, _) = (tenant.into(), Arc::<Account>::default());
        accounts.insert(name.clone(), account.clone());
        (name, account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Computes for so many microseconds of each 10 ms, for so many of them. Gives when it owed first and when it owed last.
    fn computes(microseconds: u64, rounds: u32) -> Option<(u32, u32)> {
        let account = Account::default();
        let owed = |round| {
            account.charge(Duration::from_micros(microseconds), 10 * MS * round);
            account.owes(10 * MS * round).then_some(round)
        };
        let owing: Vec<u32> = (1..=rounds).filter_map(owed).collect();
        Some((*owing.first()?, *owing.last()?))
    }

    #[test]
    fn who_computes_little_owes_nothing() {
        assert_eq!(computes(1000, 10_000), None, "its share");
        assert_eq!(computes(1200, 10_000), Some((46, 10_000)), "a fifth over its share, it owes in half a second");
        assert_eq!(computes(10_000, 10_000), Some((2, 10_000)));
    }

    #[test]
    fn what_is_owed_is_paid_in_calm() {
        let account = Account::default();
        account.charge(Duration::from_secs(60), 60_000 * MS);
        assert!(account.owes(60_000 * MS) && account.owes(60_999 * MS), "all of it is to be paid");
        assert!(!account.owes(61_000 * MS));
        account.charge(BURST, 61_000 * MS);
        assert!(!account.owes(61_000 * MS), "then it may compute again");
    }

    #[test]
    fn who_is_square_is_forgotten_and_who_owes_is_not() {
        let accounts = Accounts::default();
        let (_, spinner) = accounts.of("spinner", MS);
        spinner.charge(Duration::from_secs(1), MS);
        drop(spinner);
        let (_, busy) = accounts.of("busy", MS);
        for tenant in 0..10_000 {
            accounts.of(&format!("tenant-{tenant}"), MS);
        }
        assert!(accounts.0.lock().unwrap().len() < 1000);
        assert!(accounts.of("spinner", MS).1.owes(MS));
        assert!(Arc::ptr_eq(&busy, &accounts.of("busy", MS).1));
    }
}
