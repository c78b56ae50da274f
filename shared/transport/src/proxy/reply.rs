//! What a proxy answers to `CONNECT`: the head of an HTTP/1 reply. Pure: no sockets.
//!
//! Of the head, the number and the offered kinds of authentication are read; the rest is skipped, but bounded.

use crate::closed::printable;

/// The longest head: proxies send a few hundred bytes, some with a policy in it.
pub(crate) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Longest text of a proxy that is shown.
const MAX_SHOWN_CHARS: usize = 100;

/// The head of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplyHead {
    /// The number: 200 is a way through.
    pub(crate) status: u16,
    /// What the proxy says about it, printable and short.
    pub(crate) reason: String,
    /// The kinds of authentication it offers: `Basic`, `NTLM`, `Negotiate`.
    pub(crate) schemes: Vec<String>,
    /// Bytes of the head.
    pub(crate) length: usize,
}

/// Why bytes are no head of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoReply {
    #[error("what answers there is no HTTP proxy")]
    NotHttp,
    #[error("the proxy's answer has more than {MAX_HEAD_BYTES} bytes of headers")]
    TooLong,
}

/// The head that `bytes` begin with; `None` where its end has not arrived yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ReplyHead>, NoReply> {
    let begins = b"HTTP/1.".iter().zip(bytes).all(|(expected, found)| expected == found);
    if !begins {
        return Err(NoReply::NotHttp);
    }
    let within = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let Some(length) = within.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4) else {
        return if bytes.len() >= MAX_HEAD_BYTES { Err(NoReply::TooLong) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(&bytes[..length]);
    let mut lines = head.split("\r\n");
    let (status, reason) = status_line(lines.next().unwrap_or_default()).ok_or(NoReply::NotHttp)?;
    let schemes = lines.filter_map(scheme).collect();
    Ok(Some(ReplyHead { status, reason, schemes, length }))
}

/// `HTTP/1.1 200 Connection established`
fn status_line(line: &str) -> Option<(u16, String)> {
    let mut words = line.splitn(3, ' ');
    let version = words.next()?;
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return None;
    }
    let number = words.next().filter(|number| number.len() == 3)?;
    let status = number.parse().ok().filter(|status| (100..600).contains(status))?;
    Some((status, shown(words.next().unwrap_or_default())))
}

fn scheme(line: &str) -> Option<String> {
    let (name, value) = line.split_once(':')?;
    let scheme = value.split_whitespace().next()?;
    name.trim().eq_ignore_ascii_case("Proxy-Authenticate").then(|| shown(scheme))
}

fn shown(text: &str) -> String {
    printable(text.as_bytes()).chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_are_read_to_their_end() {
        let reply = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nrest";
        let head = parse(reply).unwrap().unwrap();
        assert_eq!((head.status, head.reason.as_str(), head.length), (200, "Connection established", 47));
        assert_eq!(&reply[head.length..], b"rest");
        for cut in 0..head.length {
            assert_eq!(parse(&reply[..cut]), Ok(None), "{cut}");
        }
        let wants =
            "HTTP/1.0 407 \r\nproxy-authenticate: NTLM\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
        assert_eq!(parse(wants.as_bytes()).unwrap().unwrap().schemes, ["NTLM", "Basic"]);
        assert_eq!(parse(b"HTTP/1.1 403\r\n\r\n").unwrap().unwrap().status, 403);
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [
            &b"SSH-2.0-OpenSSH"[..],
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 -20 OK\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01",
        ] {
            assert_eq!(parse(bytes), Err(NoReply::NotHttp), "{bytes:?}");
        }
        let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
        while endless.len() < MAX_HEAD_BYTES {
            assert_eq!(parse(&endless), Ok(None));
            endless.extend_from_slice(&[b"X: ".as_slice(), &[b'y'; 995], b"\r\n"].concat());
        }
        assert_eq!(parse(&endless), Err(NoReply::TooLong));
    }

    #[test]
    fn a_hostile_reason_is_tamed() {
        let head = parse(b"HTTP/1.1 403 \x1b[31mred\xff\r\n\r\n").unwrap().unwrap();
        assert!(!head.reason.chars().any(char::is_control), "{head:?}");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let with_start = [&b"HTTP/1.1 "[..], &bytes].concat();
            for bytes in [bytes, with_start] {
                if let Ok(Some(head)) = parse(&bytes) {
                    prop_assert!(head.length <= bytes.len());
                }
            }
        }
    }
}
