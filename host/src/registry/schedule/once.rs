//! `at`: a single time.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::fmt::temporal::{Pieces, PiecesOffset, TimeZoneAnnotationKind};
use jiff::tz::{Offset, TimeZone};

use super::local::{Rules, instants_of};
use super::zone;

const WANTED: &str = "it must be like `2026-12-01T09:00:00[Europe/Berlin]`, `2026-12-01T09:00:00+01:00` or `2026-12-01T08:00:00Z`; \
                      without zone or offset it is a time in the job's time_zone";

/// The instants that a text stands for: one, or two where the clock shows that time twice and both are wanted.
///
/// # Errors
/// What is wrong; also a zone or an offset that contradicts the job's zone, which is `zone` by the name `zone_name`.
pub(super) fn parse(text: &str, zone: &TimeZone, zone_name: &str, rules: Rules) -> Result<Vec<Timestamp>, String> {
    zone::refuse_prefix(text)?;
    let pieces = Pieces::parse(text).map_err(|_| WANTED)?;
    let time = pieces.time().ok_or(WANTED)?;
    if time.subsec_nanosecond() != 0 {
        return Err("it is not a whole second".to_owned());
    }
    let local = pieces.date().to_datetime(Time::constant(time.hour(), time.minute(), time.second(), 0));
    let named = zone_of(&pieces)?;
    // UTC is the default: a job in UTC leaves the zone open.
    let is_open = *zone == TimeZone::UTC;
    if !is_open && named.as_ref().is_some_and(|named| named != zone) {
        return Err(format!("its time zone is not the job's, which is `{zone_name}`"));
    }
    let within = named.as_ref().unwrap_or(zone);
    let instants = match pieces.offset() {
        Some(PiecesOffset::Zulu) => vec![Offset::UTC.to_timestamp(local).map_err(|_| WANTED)?],
        Some(PiecesOffset::Numeric(numeric)) => {
            let offset = numeric.offset();
            let instant = offset.to_timestamp(local).map_err(|_| WANTED)?;
            let there = within.to_offset(instant);
            if (named.is_some() || !is_open) && there != offset {
                return Err(format!("its offset {offset} is not that of its time zone then, which is {there}"));
            }
            vec![instant]
        }
        // Of offsets there are no other kinds; jiff leaves room for some.
        None | Some(_) => instants_of(local, within, rules),
    };
    if instants.is_empty() {
        return Err("the clock skips this time, and gap is `skip`".to_owned());
    }
    Ok(instants)
}

/// The zone that a time names in brackets, by name or as an offset.
fn zone_of(pieces: &Pieces<'_>) -> Result<Option<TimeZone>, String> {
    let Some(annotation) = pieces.time_zone_annotation() else { return Ok(None) };
    match annotation.kind() {
        TimeZoneAnnotationKind::Named(name) => Ok(Some(zone::named(name.as_str())?)),
        TimeZoneAnnotationKind::Offset(offset) => Ok(Some(TimeZone::fixed(*offset))),
        // jiff leaves room for other kinds.
        _ => Err(WANTED.to_owned()),
    }
}
