//! Time zones by name, as job.toml has them.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The zones that the program was built with: hosts whose machines know different rules would compute different ticks.
static TZDB: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
/// Names of UTC. The database has the same offset for all of them, but takes them for different zones.
const UTC: [&str; 8] = ["UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu"];
/// Names that the database has for machines of which nobody knows where they are.
const NOWHERE: [&str; 2] = ["Etc/Unknown", "Factory"];

/// Returns the zone of this name, in upper or lower case. Every name of UTC gives [`TimeZone::UTC`].
///
/// # Errors
/// There is no such zone, or the name stands for none.
pub(super) fn named(name: &str) -> Result<TimeZone, &'static str> {
    let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_one_of(&UTC) {
        return Ok(TimeZone::UTC);
    }
    if is_one_of(&NOWHERE) {
        return Err("the name stands for no place; it must be an IANA name of one, like `Europe/Berlin`, or `UTC`");
    }
    TZDB.get(name).map_err(|_| "no such time zone; it must be an IANA name like `Europe/Berlin` or `UTC`")
}

/// Refuses `CRON_TZ=Europe/Berlin` and `TZ=Europe/Berlin` before a text: some programs have the zone there.
pub(super) fn refuse_prefix(text: &str) -> Result<(), String> {
    let (word, _) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match word.split_once('=') {
        Some((key, zone)) if key.eq_ignore_ascii_case("CRON_TZ") || key.eq_ignore_ascii_case("TZ") => {
            Err(format!("`{key}=` is not known here: leave it out, and write time_zone = \"{zone}\" for the job"))
        }
        Some(_) | None => Ok(()),
    }
}
