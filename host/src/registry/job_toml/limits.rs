//! `[limits]` of a job.toml.

use toml::Value;

use super::Fields;
use crate::registry::validate::SpecError;
use crate::registry::{Limit, Limits, Trigger, Unit};

pub(super) fn limits(fields: &mut Fields<'_>, trigger: &Trigger) -> Result<Limits, SpecError> {
    let mut limits = match trigger {
        Trigger::Leader { .. } => Limits::LEADER,
        Trigger::Schedule { .. } => Limits::SCHEDULED,
    };
    let Some(mut table) = fields.table("limits", "limits.")? else { return Ok(limits) };
    for limit in Limit::ALL {
        if let Some(value) = one(&mut table, limit)? {
            limits.set(limit, value);
        }
    }
    table.finish(trigger.name())?;
    Ok(limits)
}

fn one(table: &mut Fields<'_>, limit: Limit) -> Result<Option<u64>, SpecError> {
    if limit.unit() == Unit::Count {
        return count(table, limit);
    }
    let Some(text) = table.text(limit.name())? else { return Ok(None) };
    limit.read(&text).map(Some).map_err(|reason| table.invalid(limit.name(), &text, reason))
}

fn count(table: &mut Fields<'_>, limit: Limit) -> Result<Option<u64>, SpecError> {
    match table.table.remove(limit.name()) {
        None => Ok(None),
        Some(Value::Integer(count)) => match u64::try_from(count) {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(table.invalid(limit.name(), &count.to_string(), &limit.must_be())),
        },
        Some(other) => Err(table.wrong_type(limit.name(), "a whole number", &other)),
    }
}
