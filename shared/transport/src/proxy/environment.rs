//! Which proxy to take: the one that was set, or that of the environment, as other programs read it.

use std::net::IpAddr;

use super::Proxy;

/// The variables that name a proxy for TLS, the first that is set counts. Upper and lower case are both in use.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The variables that list whom to reach without one.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Which proxy, if any, leads out of this network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxyChoice {
    /// The environment's, if it names one.
    #[default]
    Environment,
    /// This one, whatever the environment says.
    This(Proxy),
    /// None, whatever the environment says.
    None,
}

impl ProxyChoice {
    /// The proxy for a coordinator at `host`:`port`. `variable` looks up the environment.
    ///
    /// # Errors
    /// Names the variable that holds no proxy; what it holds is not repeated.
    pub fn proxy_for(
        &self,
        host: &str,
        port: u16,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Proxy>, String> {
        match self {
            Self::None => Ok(None),
            Self::This(proxy) => Ok(Some(proxy.clone())),
            Self::Environment => {
                let set = |name: &&str| variable(name).filter(|value| !value.trim().is_empty());
                let Some((name, value)) =
                    VARIABLES.iter().find_map(|name| set(name).map(|value| (name, value)))
                else {
                    return Ok(None);
                };
                if EXCEPTIONS.iter().find_map(set).is_some_and(|list| is_excepted(&list, host, port)) {
                    return Ok(None);
                }
                let proxy = value.trim().parse().map_err(|error| format!("the variable {name}: {error}"))?;
                Ok(Some(proxy))
            }
        }
    }
}

/// Whether a list such as `localhost,.example.org,10.0.0.0/8,host:4433,*` has the host in it.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        entry == "*" || is_network_of(&entry, &host) || is_name_of(&entry, &host, port)
    })
}

fn is_network_of(entry: &str, host: &str) -> bool {
    let Ok(host) = host.parse::<IpAddr>() else { return false };
    let (address, bits) =
        entry.split_once('/').map_or((entry, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.trim_matches(['[', ']']).parse::<IpAddr>() else { return false };
    let width = if address.is_ipv4() { 32 } else { 128 };
    let Ok(bits) = bits.map_or(Ok(width), str::parse::<u32>) else { return false };
    let shift = width.saturating_sub(bits);
    let prefix = |number: u128| number.checked_shr(shift).unwrap_or(0);
    match (address, host) {
        (IpAddr::V4(a), IpAddr::V4(b)) => prefix(a.to_bits().into()) == prefix(b.to_bits().into()),
        (IpAddr::V6(a), IpAddr::V6(b)) => prefix(a.to_bits()) == prefix(b.to_bits()),
        _ => false,
    }
}

/// A name stands for itself and for everything below it, with and without a dot in front.
fn is_name_of(entry: &str, host: &str, port: u16) -> bool {
    let name = match entry.rsplit_once(':') {
        Some((name, of)) if of.parse() == Ok(port) => name,
        Some(_) => return false,
        None => entry,
    };
    let name = name.strip_prefix("*.").unwrap_or(name).trim_start_matches('.');
    !name.is_empty() && (host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_names_networks_and_everything() {
        for (list, host, excepted) in [
            ("example.org", "c.example.org", true),
            (".example.org", "c.example.org", true),
            ("*.example.org", "C.Example.org.", true),
            ("example.org", "badexample.org", false),
            ("c.example.org:4433", "c.example.org", true),
            ("c.example.org:443", "c.example.org", false),
            ("localhost, 10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("10.0.0.0/8", "c.example.org", false),
            ("*", "c.example.org", true),
            ("", "c.example.org", false),
        ] {
            assert_eq!(is_excepted(list, host, 4433), excepted, "{list} {host}");
        }
    }

    #[test]
    fn a_setting_outweighs_the_environment() {
        let environment = |name: &str| match name {
            "https_proxy" => Some("http://of-the-environment:3128".to_owned()),
            "NO_PROXY" => Some("near.example".to_owned()),
            _ => None,
        };
        let chosen = |choice: ProxyChoice, host: &str| choice.proxy_for(host, 4433, environment).unwrap();
        let name = |proxy: Option<Proxy>| proxy.map(|proxy| proxy.host().to_owned());
        assert_eq!(name(chosen(ProxyChoice::Environment, "far.example")).unwrap(), "of-the-environment");
        assert_eq!(chosen(ProxyChoice::Environment, "c.near.example"), None);
        assert_eq!(chosen(ProxyChoice::None, "far.example"), None);
        let this = ProxyChoice::This("http://set:1".parse().unwrap());
        assert_eq!(name(chosen(this, "c.near.example")).unwrap(), "set");
        let broken = |_: &str| Some("https://user:secret@proxy".to_owned());
        let error = ProxyChoice::Environment.proxy_for("far.example", 1, broken).unwrap_err();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("secret"), "{error}");
    }
}
