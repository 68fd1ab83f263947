//! Carries out what people ask for beside the schedule.

use super::writes::Then;
use super::{Chance, Keeper};
use crate::scheduler::desk::Desk;
use crate::scheduler::order::{Order, TriggerError};
use crate::scheduler::plan::{self, has_room};

impl Keeper {
    /// An order has come. One that can't be looked at now waits until things are known.
    pub(in crate::scheduler) fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    /// False where there is none that something can be done about now.
    pub(super) fn carry_out_order(&mut self, desk: &mut Desk) -> bool {
        match self.orders.pop_front() {
            None => false,
            Some(Order::Backfill { from, to, answer }) => {
                match plan::backfilled(&self.state, &self.rules(), &self.term, (from, to), desk.now()) {
                    Ok((decision, count)) => self.write(decision, Then::Backfill { count, answer }, desk),
                    Err(error) => drop(answer.send(Err(error.into()))),
                }
                true
            }
            Some(Order::SetCursor { to, answer }) => {
                let now = desk.now();
                if to.as_millisecond() > now.as_millisecond() {
                    drop(answer.send(Err(TriggerError::Future { to, now })));
                } else {
                    let decision = plan::cursor_set(&self.state, &self.rules(), &self.term, self.changed, to, now);
                    // What comes now was not missed, also where it is from before this term.
                    self.term.since = self.term.since.min(to);
                    self.write(decision, Then::CursorSet { to, answer }, desk);
                }
                true
            }
            Some(order @ Order::Run(_)) if has_room(&self.state, &self.rules()).is_err() => {
                order.refuse(TriggerError::UnderWay);
                true
            }
            Some(Order::Run(answer)) => {
                if !self.ask(desk) {
                    self.orders.push_front(Order::Run(answer));
                    return false;
                }
                match self.take_chance() {
                    Chance::Given { start, turn } => {
                        let (now, nonce) = (desk.now(), desk.nonce());
                        let name = format!("manual-{now:.3}");
                        let mut decision = plan::ordered(&self.state, &self.rules(), &self.term, &name, now, nonce);
                        let begin = decision.begin.take().expect("an order begins a run");
                        self.write(decision, Then::Begin { begin, start, turn, order: Some(answer) }, desk);
                    }
                    Chance::Refused { reason, why } => {
                        let why = why.unwrap_or_else(|| reason.to_string());
                        drop(answer.send(Err(TriggerError::Refused(why))));
                    }
                    Chance::None | Chance::Preparing | Chance::Waiting { .. } => {
                        unreachable!("it is known whether a run may begin")
                    }
                }
                true
            }
        }
    }
}
