//! The one writer. Anyone may place an order, a price for a symbol, under the key `orders`; the leader applies it and
//! publishes the whole list under `published`, with a revision that rises by one each time. Readers that see revision 8
//! after 7 have missed nothing, whichever host published which.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use silverback_guest::state::Next;
use silverback_guest::{Grant, RunError, config, state};

/// What someone wants published. The same `id` twice is the same order.
#[derive(Clone, Deserialize, Serialize)]
struct Order {
    id: u64,
    symbol: String,
    /// None takes the symbol off the list.
    price: Option<f64>,
}

/// The list, as readers see it.
#[derive(Default, Deserialize, Serialize)]
struct Published {
    revision: u64,
    /// The term that published it.
    token: u64,
    last_order: u64,
    prices: BTreeMap<String, f64>,
}

#[silverback_guest::job]
fn lead(grant: Grant) -> Result<String, RunError> {
    let heartbeat = Duration::from_secs(config::get_as("heartbeat_seconds")?.unwrap_or(5));
    let mut list: Published = state::get("published")?.unwrap_or_default();
    log::info!("{} publishes from revision {} on, with token {}", grant.identifier, list.revision, grant.token);
    let mut orders = state::watch::<Vec<Order>>("orders");
    loop {
        match orders.next_within(heartbeat)? {
            Next::Changed(orders) => publish(&mut list, &orders.unwrap_or_default(), grant.token)?,
            Next::Elapsed => log::info!("revision {} stands, {} symbols", list.revision, list.prices.len()),
            Next::Stop => return Ok(format!("stepped down at revision {}", list.revision)),
        }
    }
}

/// Applies the orders that are new, and publishes once for all of them.
fn publish(list: &mut Published, orders: &[Order], token: u64) -> Result<(), state::Error> {
    let before = list.last_order;
    for order in orders.iter().filter(|order| order.id > before) {
        match order.price {
            Some(price) => list.prices.insert(order.symbol.clone(), price),
            None => list.prices.remove(&order.symbol),
        };
        list.last_order = list.last_order.max(order.id);
    }
    if list.last_order > before || list.token != token {
        (list.revision, list.token) = (list.revision + 1, token);
        state::set("published", list)?;
        log::info!(
            "published revision {}: {} symbols, up to order {}",
            list.revision,
            list.prices.len(),
            list.last_order
        );
    }
    Ok(())
}
