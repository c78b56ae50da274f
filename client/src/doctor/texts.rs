//! What the doctor says to whom.

use std::time::Duration;

use consilium_transport::Dialler;

/// For the firewall team, about UDP.
pub(super) fn open_udp(dialler: &Dialler) -> String {
    format!(
        "tell the firewall team: allow outbound UDP to {} port {} and the replies to it, with an idle time of 30 s or \
         more (QUIC, RFC 9000, always encrypted)",
        dialler.host, dialler.port
    )
}

/// For the firewall team, about TCP.
pub(super) fn open_tcp(dialler: &Dialler) -> String {
    format!(
        "tell the firewall team: allow outbound TCP to {} port {} (TLS 1.3), without inspection",
        dialler.host, dialler.tcp_port
    )
}

/// About a proxy.
pub(super) fn open_proxy(dialler: &Dialler) -> String {
    format!(
        "tell the proxy team: allow CONNECT to {} port {}, without inspection; if it asks for a name and a password, \
         set `proxy` in client.toml",
        dialler.host, dialler.tcp_port
    )
}

/// About a box that opens TLS.
pub(super) fn exempt(dialler: &Dialler, issuer: &str) -> String {
    format!(
        "tell the firewall team: connections to {} are opened by a device that issues certificates as `{issuer}`; \
         exempt them from TLS inspection. Both sides of this connection check each other's certificate, so it cannot \
         work through such a device",
        dialler.host
    )
}

/// A length of time in the largest unit that fits.
pub(super) fn length(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_units_of_people() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(length(Duration::from_millis(millis)), text);
        }
    }
}
