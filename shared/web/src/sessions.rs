//! Browsers that logged in with the access token.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::token::{TokenFileError, random, sha256};

/// The cookie's name; the prefix makes browsers insist on TLS, this host and the whole site.
const COOKIE: &str = "__Host-consilium";
/// How long one login lasts: a working day.
const LIFE: Duration = Duration::from_secs(12 * 3_600);
/// Sessions at once. The oldest ends where one more begins.
const MOST: usize = 64;

/// Hashes of the sessions' names, and until when they last.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<[u8; 32], Instant>>);

impl Sessions {
    /// Begins a session; the value of `Set-Cookie`.
    pub(crate) fn begin(&self, now: Instant) -> Result<String, TokenFileError> {
        let name = hex::encode(random()?);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, until| *until > now);
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            oldest.map(|key| sessions.remove(&key));
        }
        sessions.insert(sha256(name.as_bytes()), now + LIFE);
        Ok(format!("{COOKIE}={name}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict", LIFE.as_secs()))
    }

    /// Whether `cookies`, the value of a `Cookie` header, names a session.
    pub(crate) fn holds(&self, cookies: &str, now: Instant) -> bool {
        let named = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked up by its hash: how long that takes says nothing about the name.
        named
            .filter(|(name, _)| *name == COOKIE)
            .any(|(_, value)| sessions.get(&sha256(value.as_bytes())).is_some_and(|until| *until > now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(cookie: &str) -> String {
        cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_session_ends_by_itself() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let cookie = sessions.begin(start).unwrap();
        for word in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        let named = format!("other=1; {}", pair(&cookie));
        assert!(sessions.holds(&named, start) && !sessions.holds(&named, start + LIFE));
        assert!(!sessions.holds("", start) && !sessions.holds("__Host-consilium=", start));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let at = |number: usize| start + Duration::from_secs(number as u64);
        let cookies: Vec<String> =
            (0..=MOST).map(|number| pair(&sessions.begin(at(number)).unwrap())).collect();
        let held = cookies.iter().filter(|cookie| sessions.holds(cookie, at(MOST))).count();
        assert_eq!((held, sessions.holds(&cookies[0], at(MOST))), (MOST, false));
    }
}
