//! What comes before every answer: is this host asked for, and may the visitor look?

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use consilium_domain::Role;
use tokio::time::Instant;

use crate::attempts::Attempts;
use crate::sessions::Sessions;
use crate::token::AccessToken;

/// What may be done with a page: its own files, its own server, nothing else, and in nobody's frame.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// On every answer.
const HEADERS: [(&str, &str); 6] = [
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

/// What is shown without a login: the way to it, and how that looks.
const OPEN: [&str; 3] = ["/login", "/page.css", "/icon.svg"];

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    /// Whom the certificate speaks for, where one was shown and verified.
    pub(crate) role: Option<Role>,
}

/// Who may look.
#[derive(Debug)]
pub(crate) enum Gate {
    /// Whoever is on this machine: the address is loopback.
    Loopback,
    /// Holders of an admin's or an observer's certificate.
    Certificate,
    /// Whoever has the token.
    Token { token: AccessToken, sessions: Sessions, attempts: Attempts },
}

impl Gate {
    pub(crate) fn by_token(token: AccessToken) -> Self {
        Self::Token { token, sessions: Sessions::default(), attempts: Attempts::default() }
    }

    /// Whether a request with `headers` may be answered.
    fn admits(&self, visitor: &Visitor, headers: &HeaderMap) -> bool {
        match self {
            Self::Loopback => true,
            // A site's certificate is of the same authority, and says nothing about pages.
            Self::Certificate => matches!(visitor.role, Some(Role::Admin(_) | Role::Observer(_))),
            Self::Token { sessions, .. } => {
                let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
                let session = { cookies }.any(|cookies| sessions.holds(cookies, Instant::now()));
                session || bearer(headers).is_some_and(|token| self.unlocks(visitor.address, token))
            }
        }
    }

    /// Whether `text` is the token, for `address` that may still try.
    fn unlocks(&self, address: IpAddr, text: &str) -> bool {
        let Self::Token { token, attempts, .. } = self else { return false };
        let now = Instant::now();
        if !attempts.may_try(address, now) {
            return false;
        }
        let right = token.is(text);
        if !right {
            attempts.was_wrong(address, now);
            tracing::warn!(%address, "a wrong access token at the live page");
        }
        right
    }

    /// The cookie of a new session, where `text` is the token.
    pub(crate) fn log_in(&self, address: IpAddr, text: &str) -> Option<String> {
        if !self.unlocks(address, text) {
            return None;
        }
        let Self::Token { sessions, .. } = self else { return None };
        let cookie = sessions.begin(Instant::now());
        cookie.inspect_err(|error| tracing::error!(%error, "nobody can log in at the live page")).ok()
    }

    pub(crate) const fn has_login(&self) -> bool {
        matches!(self, Self::Token { .. })
    }
}

/// The token of a program that has no cookies, such as Prometheus.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Whether `host` is a name of this machine for itself. A page of elsewhere that has its own name point here (DNS
/// rebinding) comes with that name.
fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            return rest.split_once(']').is_some_and(|(address, port)| address == "::1" && is_port(port));
        }
        None => host,
    };
    let (name, port) = name.find(':').map_or((name, ""), |at| name.split_at(at));
    (name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1") && is_port(port)
}

/// Whether `text` is nothing or a colon and digits. Any port: a tunnel may bring a visitor here from another one.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Judges `request` and puts the headers on its answer.
pub(crate) async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let mut response = judge(&gate, request, next).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry("content-security-policy").or_insert(HeaderValue::from_static(POLICY));
    response
}

async fn judge(gate: &Gate, request: Request, next: Next) -> Response {
    let (path, headers) = (request.uri().path(), request.headers());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if matches!(gate, Gate::Loopback) && !host.is_some_and(is_own_name) {
        let words = "This page answers to 127.0.0.1, [::1] and localhost only.\n";
        return (StatusCode::MISDIRECTED_REQUEST, words).into_response();
    }
    let may_post = gate.has_login() && path == "/login";
    if !matches!(*request.method(), Method::GET | Method::HEAD) && !may_post {
        return (StatusCode::METHOD_NOT_ALLOWED, "This page only shows: nothing can be changed from it.\n")
            .into_response();
    }
    let visitor = request.extensions().get::<Visitor>().cloned();
    let open = gate.has_login() && OPEN.contains(&path);
    if open || visitor.is_some_and(|visitor| gate.admits(&visitor, headers)) {
        return next.run(request).await;
    }
    if gate.has_login() && path == "/" {
        return Redirect::to("/login").into_response();
    }
    (StatusCode::UNAUTHORIZED, "Log in first.\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names_are_answered() {
        for own in ["127.0.0.1", "127.0.0.1:4480", "localhost:9000", "LOCALHOST", "[::1]", "[::1]:4480"] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "127.0.0.1:80.evil.example",
            "[::1].evil.example",
            "[::2]",
            "127.0.0.1@evil.example",
            "10.0.0.1",
        ] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_sites_certificate_opens_no_page() {
        let visit = |role: &str| {
            let role = (!role.is_empty()).then(|| role.parse().unwrap());
            Gate::Certificate.admits(&Visitor { address: [127, 0, 0, 1].into(), role }, &HeaderMap::new())
        };
        assert!(visit("consilium:admin:alice") && visit("consilium:observer:olga"));
        assert!(!visit("consilium:site:north") && !visit("consilium:coordinator") && !visit(""));
    }
}
