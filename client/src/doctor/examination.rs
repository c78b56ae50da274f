//! The tests, from what lies nearest to what lies farthest.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consilium_transport::{Dialler, Identity, LinkChoice, Probe, ShownCertificate, Way};

use super::findings::{Finding, Findings};
use super::texts;
use crate::config::Config;

/// Clocks that differ by more than this are wrong: a synchronised machine is right to a second, and certificates of a
/// few days leave no room for hours.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// A certificate that expires sooner should have been renewed.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 86_400);

/// Below this a round of a large model takes minutes to send: 1 MiB must arrive in 30 s or a transfer is given up, and
/// a study wants ten times that.
const SLOW_MBIT_PER_S: f64 = 2.8;

/// What one way showed.
struct Tried {
    way: Way,
    /// The coordinator's clock less ours, in seconds; or why there is none.
    clock: Result<i64, String>,
    shown: Option<ShownCertificate>,
}

/// Runs every test.
pub(super) async fn examine(config: &Config) -> Findings {
    let dialler = &config.dialler;
    let mut findings = Vec::new();
    let identity = match Identity::load(&config.identity) {
        Ok(identity) => identity,
        Err(error) => {
            findings.push(Finding::fail(
                "certificate",
                error.to_string(),
                "ask the consortium's administrator",
            ));
            return Findings::new(&config.coordinator, findings);
        }
    };
    findings.push(certificate(&identity, seconds_now()));
    let resolved = dialler.resolve().await;
    let mut tried = Vec::new();
    for way in [Way::Quic, Way::Tcp, Way::Proxy] {
        if is_worth_a_try(dialler, way, resolved.is_ok()) {
            tried.push(attempt(dialler, way, &identity).await);
        }
    }
    let best = tried.iter().find(|tried| tried.clock.is_ok()).map(|tried| tried.way);
    findings.push(name(dialler, &resolved, best));
    for way in [Way::Quic, Way::Tcp, Way::Proxy] {
        findings.push(by_way(dialler, way, &tried, best));
    }
    findings.push(inspection(dialler, &tried));
    findings.push(coordinator(best, &tried));
    findings.push(clock(&tried, seconds_now()));
    findings.extend(speed(dialler, best, &identity).await);
    Findings::new(&config.coordinator, findings)
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn is_worth_a_try(dialler: &Dialler, way: Way, resolved: bool) -> bool {
    match way {
        Way::Quic => resolved && dialler.link != LinkChoice::Tcp,
        Way::Tcp => resolved && dialler.link != LinkChoice::Quic,
        Way::Proxy => dialler.link != LinkChoice::Quic && !matches!(dialler.proxy(), Ok(None)),
    }
}

async fn attempt(dialler: &Dialler, way: Way, identity: &Identity) -> Tried {
    let (probe, shown) = dialler.probe(way, identity).await;
    let clock = match probe {
        Ok(probe) => ask_the_time(probe).await,
        Err(error) => {
            Err(error.attempts.into_iter().map(|tried| tried.problem).collect::<Vec<_>>().join("; "))
        }
    };
    Tried { way, clock, shown }
}

async fn ask_the_time(probe: Probe) -> Result<i64, String> {
    let asked = probe.clock().await;
    let here = seconds_now();
    probe.end().await;
    let (there, _) = asked.map_err(|error| error.to_string())?;
    let there = there.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(i64::try_from(there).unwrap_or(i64::MAX).saturating_sub(here))
}

fn certificate(identity: &Identity, now: i64) -> Finding {
    let test = "certificate";
    let renew = "ask the consortium's administrator for a new kit";
    let Some(own) = identity.shown_certificate() else {
        return Finding::fail(test, "the certificate cannot be read", renew);
    };
    let role = identity.role();
    let span = |seconds: i64| texts::length(Duration::from_secs(seconds.unsigned_abs()));
    if now < own.not_before {
        let found = format!("{role}: valid only in {}", span(own.not_before - now));
        return Finding::fail(test, found, "check the date of this machine");
    }
    if now >= own.not_after {
        let found = format!("{role}: expired {} ago", span(now - own.not_after));
        return Finding::fail(
            test,
            found,
            format!("check the date of this machine; if it is right, {renew}"),
        );
    }
    let left = own.not_after - now;
    let found = format!("{role}, valid for {}; its key is readable by its owner alone", span(left));
    if left.unsigned_abs() < EXPIRES_SOON.as_secs() {
        return Finding::warn(test, found, renew);
    }
    Finding::pass(test, found)
}

fn name(
    dialler: &Dialler,
    resolved: &Result<Vec<std::net::SocketAddr>, String>,
    best: Option<Way>,
) -> Finding {
    match resolved {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            Finding::pass("name", format!("{} is {}", dialler.host, addresses.join(", ")))
        }
        Err(problem) if best == Some(Way::Proxy) => {
            Finding::skip("name", format!("{problem}; the proxy knows it, which is enough"))
        }
        Err(problem) => Finding::fail(
            "name",
            problem,
            format!("check `coordinator` in client.toml, and ask for `{}` to be resolved here", dialler.host),
        ),
    }
}

fn by_way(dialler: &Dialler, way: Way, tried: &[Tried], best: Option<Way>) -> Finding {
    let (test, advice) = match way {
        Way::Quic => ("udp", texts::open_udp(dialler)),
        Way::Tcp => ("tcp", texts::open_tcp(dialler)),
        Way::Proxy => ("proxy", texts::open_proxy(dialler)),
    };
    let Some(tried) = tried.iter().find(|tried| tried.way == way) else {
        return Finding::skip(test, why_not(dialler, way));
    };
    // A certificate came back: the way is open, and whose certificate it is, is another test.
    match &tried.clock {
        Ok(_) => Finding::pass(test, "the coordinator answers"),
        Err(problem) if tried.shown.is_some() => {
            Finding::warn(test, format!("somebody answers, but: {problem}"), "see the tests below")
        }
        Err(problem) if best.is_some() => {
            Finding::warn(test, problem, format!("another way works, so this is no hurry. {advice}"))
        }
        Err(problem) => Finding::fail(test, problem, advice),
    }
}

fn why_not(dialler: &Dialler, way: Way) -> String {
    match (way, dialler.link) {
        (Way::Quic, LinkChoice::Tcp) => "`link = \"tcp\"` in client.toml".to_owned(),
        (Way::Tcp | Way::Proxy, LinkChoice::Quic) => "`link = \"quic\"` in client.toml".to_owned(),
        (Way::Proxy, _) => "no proxy is set, neither in client.toml nor in the environment".to_owned(),
        _ => "the name is not known".to_owned(),
    }
}

fn inspection(dialler: &Dialler, tried: &[Tried]) -> Finding {
    let test = "tls-inspection";
    let shown: Vec<&ShownCertificate> = tried.iter().filter_map(|tried| tried.shown.as_ref()).collect();
    // One of the right authority that is refused is out of date, which is the clock's matter.
    let foreign = |shown: &&&ShownCertificate| !shown.trusted && is_in_time(shown, seconds_now());
    match shown.iter().find(foreign) {
        Some(foreign) => {
            let found = format!(
                "a certificate for `{}` that `{}` issued, not our authority",
                foreign.subject, foreign.issuer
            );
            let advice = texts::exempt(dialler, &foreign.issuer);
            if shown.iter().any(|shown| shown.trusted) {
                Finding::warn(test, found, format!("another way works. {advice}"))
            } else {
                Finding::fail(test, found, advice)
            }
        }
        None if shown.is_empty() => Finding::skip(test, "no certificate was shown on any way"),
        None => Finding::pass(test, "the certificates shown are of our authority"),
    }
}

fn is_in_time(shown: &ShownCertificate, now: i64) -> bool {
    (shown.not_before..=shown.not_after).contains(&now)
}

fn coordinator(best: Option<Way>, tried: &[Tried]) -> Finding {
    let test = "coordinator";
    if let Some(way) = best {
        return Finding::pass(test, format!("accepts our certificate; the client will use {way}"));
    }
    let refusal = tried.iter().filter(|tried| tried.shown.as_ref().is_some_and(|shown| shown.trusted));
    match refusal.filter_map(|tried| tried.clock.as_ref().err()).next() {
        Some(reason) => Finding::fail(test, reason, "ask the consortium's administrator"),
        None => Finding::fail(test, "not reached by any way", "mend one of the ways above"),
    }
}

fn clock(tried: &[Tried], now: i64) -> Finding {
    let test = "clock";
    let advice = "set this machine's clock, and let it be kept right (NTP)";
    if let Some(&difference) = tried.iter().find_map(|tried| tried.clock.as_ref().ok()) {
        let off = Duration::from_secs(difference.unsigned_abs());
        if off <= CLOCK_TOLERANCE {
            return Finding::pass(test, "agrees with the coordinator's");
        }
        let way = if difference > 0 { "behind" } else { "ahead of" };
        return Finding::fail(test, format!("{} {way} the coordinator's", texts::length(off)), advice);
    }
    // Without the coordinator's word its certificate tells at least which times are impossible.
    let Some(shown) = tried.iter().find_map(|tried| tried.shown.as_ref()) else {
        return Finding::skip(test, "nobody to compare it with");
    };
    if is_in_time(shown, now) {
        Finding::skip(test, "nobody to compare it with; the certificates shown are valid at its time")
    } else {
        Finding::fail(test, "a certificate that was shown is not valid at this machine's time", advice)
    }
}

async fn speed(dialler: &Dialler, best: Option<Way>, identity: &Identity) -> [Finding; 2] {
    let skip = |why: &str| [Finding::skip("upload", why), Finding::skip("download", why)];
    let Some(way) = best else { return skip("the coordinator is not reached") };
    let probe = match dialler.probe(way, identity).await {
        (Ok(probe), _) => probe,
        (Err(error), _) => return skip(&error.to_string()),
    };
    let rates = [("upload", probe.upload().await), ("download", probe.download().await)];
    probe.end().await;
    rates.map(|(test, rate)| match rate {
        Ok(rate) => {
            let found = format!("{:.1} Mbit/s over {way}", rate.mbit_per_s());
            if rate.mbit_per_s() < SLOW_MBIT_PER_S {
                Finding::warn(test, found, "ask for more: models of hundreds of MB travel both ways")
            } else {
                Finding::pass(test, found)
            }
        }
        Err(error) => Finding::skip(test, error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use consilium_transport::{ProxyChoice, Tuning};

    use super::super::findings::Status;
    use super::*;

    fn dialler() -> Dialler {
        Dialler {
            host: "c.example.org".into(),
            port: 4433,
            tcp_port: 443,
            link: LinkChoice::Auto,
            proxy: ProxyChoice::None,
            tuning: Tuning::default(),
        }
    }

    fn shown(trusted: bool) -> ShownCertificate {
        let (issuer, subject) = ("CN=Box".to_owned(), "CN=c.example.org".to_owned());
        ShownCertificate { issuer, subject, not_before: 0, not_after: i64::MAX, trusted }
    }

    fn tried(way: Way, clock: Result<i64, &str>, shown: Option<ShownCertificate>) -> Tried {
        Tried { way, clock: clock.map_err(str::to_owned), shown }
    }

    #[test]
    fn a_blocked_way_matters_only_where_it_is_the_last() {
        let udp_blocked =
            [tried(Way::Quic, Err("no answer"), None), tried(Way::Tcp, Ok(0), Some(shown(true)))];
        let finding = by_way(&dialler(), Way::Quic, &udp_blocked, Some(Way::Tcp));
        assert_eq!(finding.status, Status::Warn);
        assert!(finding.advice.unwrap().contains("allow outbound UDP to c.example.org port 4433"));
        let finding = by_way(&dialler(), Way::Quic, &udp_blocked[..1], None);
        assert_eq!(finding.status, Status::Fail);
        assert_eq!(by_way(&dialler(), Way::Proxy, &udp_blocked, None).status, Status::Skip);
    }

    #[test]
    fn a_device_that_opens_tls_is_named() {
        let opened = [tried(Way::Tcp, Err("UnknownIssuer"), Some(shown(false)))];
        let finding = inspection(&dialler(), &opened);
        assert_eq!(finding.status, Status::Fail);
        assert!(finding.found.contains("CN=Box") && finding.advice.unwrap().contains("exempt"));
        let past = ShownCertificate { not_after: 1, ..shown(false) };
        assert_eq!(
            inspection(&dialler(), &[tried(Way::Tcp, Err("Expired"), Some(past))]).status,
            Status::Pass
        );
        assert_eq!(inspection(&dialler(), &[]).status, Status::Skip);
    }

    #[test]
    fn clocks_are_compared_with_the_coordinators_or_its_certificate() {
        for (difference, status) in [(0, Status::Pass), (-300, Status::Pass), (301, Status::Fail)] {
            assert_eq!(clock(&[tried(Way::Tcp, Ok(difference), None)], 0).status, status, "{difference}");
        }
        assert!(clock(&[tried(Way::Tcp, Ok(7_200), None)], 0).found.contains("2 h behind"));
        let past = ShownCertificate { not_after: 1, ..shown(false) };
        let dated = [tried(Way::Tcp, Err("Expired"), Some(past))];
        assert_eq!(clock(&dated, 1_000).status, Status::Fail);
        assert_eq!(clock(&dated, 1).status, Status::Skip);
        assert_eq!(clock(&[], 0).status, Status::Skip);
    }
}
