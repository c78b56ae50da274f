//! Times as the log writes them: RFC 3339 in UTC with milliseconds, always of the same length, so that text order is
//! the order in time.

use std::time::{SystemTime, UNIX_EPOCH};

use consilium_protocol::Timestamp;
use time::OffsetDateTime;

/// What a time looks like, digit by digit.
const SHAPE: &[u8] = b"0000-00-00T00:00:00.000Z";

/// The clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `at` as text. What is after the year 9999 is written as its last moment.
pub(crate) fn text(at: Timestamp) -> String {
    let secs = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    let Ok(time) = OffsetDateTime::from_unix_timestamp(secs) else {
        return "9999-12-31T23:59:59.999Z".to_owned();
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        at.0 % 1000
    )
}

/// Whether `text` has the shape of a time. `prefix`: or begins like one, as a day does.
pub(crate) fn is_time(text: &str, prefix: bool) -> bool {
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    let length = if prefix { (4..=SHAPE.len()).contains(&text.len()) } else { text.len() == SHAPE.len() };
    length && text.bytes().zip(SHAPE).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_texts_of_one_length() {
        assert_eq!(text(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(Timestamp(1_793_961_296_789)), "2026-11-06T10:34:56.789Z");
        assert_eq!(text(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999Z");
        assert!(is_time(&text(now()), false));
        assert!(is_time("2026-11-06", true) && !is_time("2026-11-06", false));
        for wrong in ["6.11.2026", "2026/11", "", "2026-11-06T11:54:56.789+01:00"] {
            assert!(!is_time(wrong, true), "{wrong}");
        }
    }
}
