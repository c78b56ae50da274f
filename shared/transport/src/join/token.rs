//! A join token: one line that an admin hands to a hospital.
//!
//! ```text
//! consilium-join-1:BASE64URL   of  count ( length HOST:PORT )*  root key hash (32)  id (8)  secret (16)  check (4)
//! ```
//!
//! The four bytes at the end are the beginning of a SHA-256 of the rest: a mistyped token is told from a refused one
//! without asking anybody.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What every token of this form begins with.
const PREFIX: &str = "consilium-join-1:";
/// Enough for a name, an IPv4 and an IPv6 address, and one to spare.
const MAX_ADDRESSES: usize = 4;
/// A DNS name, a colon and a port.
const MAX_ADDRESS_BYTES: usize = 253 + 6;
const CHECK_BYTES: usize = 4;

/// Which token; not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId(pub [u8; 8]);

/// 128 random bits that only the token's holder knows. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret([u8; 16]);

/// A one-time right to join. `Debug` does not show the secret; `Display` is the whole token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    addresses: Vec<String>,
    root_key_sha256: [u8; 32],
    id: TokenId,
    secret: TokenSecret,
}

/// Why a text is no token, or a token cannot be made. Nobody was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another text altogether.
    #[error("this is no join token: one begins with `{PREFIX}`")]
    NoToken,
    /// A character is wrong or missing.
    #[error("the join token is mistyped or incomplete: copy the whole line again")]
    Mistyped,
    /// An address that cannot be dialled.
    #[error("a join token needs 1 to {MAX_ADDRESSES} addresses of the form HOST:PORT")]
    Addresses,
}

impl TokenSecret {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What the coordinator keeps of it.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

impl JoinToken {
    /// A new token with a fresh secret.
    ///
    /// # Errors
    /// Where an address is not `HOST:PORT`, or their number is wrong.
    pub fn generate(addresses: Vec<String>, root_key_sha256: [u8; 32]) -> Result<Self, TokenError> {
        if !(1..=MAX_ADDRESSES).contains(&addresses.len()) || !addresses.iter().all(|a| is_address(a)) {
            return Err(TokenError::Addresses);
        }
        let (mut id, mut secret) = ([0; 8], [0; 16]);
        aws_lc_rs::rand::fill(&mut id).expect("the system has randomness");
        aws_lc_rs::rand::fill(&mut secret).expect("the system has randomness");
        Ok(Self { addresses, root_key_sha256, id: TokenId(id), secret: TokenSecret(secret) })
    }

    /// Where the coordinator can be reached, `HOST:PORT` each.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// SHA-256 of the public key of the consortium's root.
    pub const fn root_key_sha256(&self) -> &[u8; 32] {
        &self.root_key_sha256
    }

    /// Which token it is.
    pub const fn id(&self) -> TokenId {
        self.id
    }

    /// Its secret.
    pub const fn secret(&self) -> &TokenSecret {
        &self.secret
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(self.addresses.len()).expect("there are at most four addresses")];
        for address in &self.addresses {
            let length = u16::try_from(address.len()).expect("an address is short");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(address.as_bytes());
        }
        bytes.extend_from_slice(&self.root_key_sha256);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.secret.0);
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, tail) = bytes.split_last_chunk::<CHECK_BYTES>()?;
        if check(body) != *tail {
            return None;
        }
        let (count, mut rest) = body.split_first()?;
        let mut addresses = Vec::new();
        for _ in 0..*count {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (address, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            addresses.push(std::str::from_utf8(address).ok()?.to_owned());
            rest = after;
        }
        let (root_key_sha256, rest) = rest.split_first_chunk::<32>()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let secret = <[u8; 16]>::try_from(rest).ok()?;
        let fits = (1..=MAX_ADDRESSES).contains(&addresses.len()) && addresses.iter().all(|a| is_address(a));
        fits.then_some(Self {
            addresses,
            root_key_sha256: *root_key_sha256,
            id: TokenId(*id),
            secret: TokenSecret(secret),
        })
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("addresses", &self.addresses)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(TokenError::NoToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Mistyped)?;
        Self::from_bytes(&bytes).ok_or(TokenError::Mistyped)
    }
}

fn is_address(text: &str) -> bool {
    let plain = text.len() <= MAX_ADDRESS_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain
        && text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0))
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = sha256(&[PREFIX.as_bytes(), body].concat());
    *hash.first_chunk().expect("a hash is longer")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinToken {
        JoinToken::generate(vec!["fl.example.org:4433".into(), "[2001:db8::1]:4433".into()], [7; 32]).unwrap()
    }

    #[test]
    fn a_token_is_one_short_line_and_survives_it() {
        let (token, other) = (token(), token());
        let text = token.to_string();
        assert!(
            text.starts_with(PREFIX) && text.len() < 200 && !text.contains(char::is_whitespace),
            "{text}"
        );
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!("  {text}\n").parse(), Ok(token.clone()));
        assert_ne!(token.secret, other.secret);
        assert_ne!(token.id(), other.id());
        assert!(!format!("{token:?} {:?}", token.secret()).contains(&format!("{:?}", token.secret.0)));
    }

    #[test]
    fn other_texts_are_told_from_mistyped_tokens() {
        assert_eq!("".parse::<JoinToken>(), Err(TokenError::NoToken));
        assert_eq!("consilium-join-2:AAAA".parse::<JoinToken>(), Err(TokenError::NoToken));
        let text = token().to_string();
        assert_eq!(text[..text.len() - 1].parse::<JoinToken>(), Err(TokenError::Mistyped));
        assert_eq!(format!("{text}A").parse::<JoinToken>(), Err(TokenError::Mistyped));
    }

    #[test]
    fn addresses_must_be_dialable() {
        for bad in ["", "host", "host:", ":1", "host:0", "host:99999", "ho st:1", "hö:1"] {
            assert_eq!(
                JoinToken::generate(vec![bad.into()], [0; 32]).err(),
                Some(TokenError::Addresses),
                "{bad}"
            );
        }
        assert_eq!(JoinToken::generate(vec![], [0; 32]).err(), Some(TokenError::Addresses));
        assert_eq!(JoinToken::generate(vec!["a:1".into(); 5], [0; 32]).err(), Some(TokenError::Addresses));
    }

    proptest! {
        #[test]
        fn every_token_survives_its_text(
            addresses in proptest::collection::vec("[a-z0-9.-]{1,60}:[1-9][0-9]{0,3}", 1..=4), root in any::<[u8; 32]>()
        ) {
            let token = JoinToken::generate(addresses, root).unwrap();
            prop_assert_eq!(token.to_string().parse::<JoinToken>(), Ok(token));
        }

        /// One wrong character is always noticed: it changes the content or the check, and never both alike.
        #[test]
        fn a_mistyped_character_is_noticed(place in 0usize..200, typed in "[A-Za-z0-9_-]") {
            let text = token().to_string();
            let place = PREFIX.len() + place % (text.len() - PREFIX.len());
            let mistyped = format!("{}{typed}{}", &text[..place], &text[place + 1..]);
            prop_assert!(mistyped == text || mistyped.parse::<JoinToken>() == Err(TokenError::Mistyped));
        }

        #[test]
        fn noise_is_no_token(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
            prop_assert_eq!(text.parse::<JoinToken>(), Err(TokenError::Mistyped));
        }
    }
}
