//! What lies where on a website.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, SET_COOKIE};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::Source;
use crate::gate::{Gate, Visitor, guard};
use crate::live::Live;
use crate::markup::tag;
use crate::metrics;
use crate::page::document;

/// Longest form that is read: a token has fewer bytes.
const MAX_FORM_BYTES: usize = 1_024;
/// The report's page brings its own style sheet, and nothing else.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A source and everybody who looks at it.
pub(crate) struct Site<S> {
    pub(crate) source: S,
    pub(crate) live: Live,
}

/// Every address of the site, behind `gate`.
pub(crate) fn routes<S: Source>(site: Arc<Site<S>>, gate: &Arc<Gate>) -> Router {
    let mut router = Router::new()
        .route("/", get(home::<S>))
        .route("/events", get(events::<S>))
        .route("/metrics", get(exported::<S>))
        .route("/reports/{study}", get(report::<S>))
        .with_state(site)
        .route("/page.css", get(|| async { asset("text/css", include_str!("../assets/page.css")) }))
        .route("/page.js", get(|| async { asset("text/javascript", include_str!("../assets/page.js")) }))
        .route("/icon.svg", get(|| async { asset("image/svg+xml", include_str!("../assets/icon.svg")) }));
    if gate.has_login() {
        router = router.merge(
            Router::new()
                .route("/login", get(|| async { login_page("") }).post(log_in))
                .with_state(gate.clone()),
        );
    }
    router.layer(DefaultBodyLimit::max(MAX_FORM_BYTES)).layer(from_fn_with_state(gate.clone(), guard))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, format!("{kind}; charset=utf-8"))], text).into_response()
}

async fn home<S: Source>(State(site): State<Arc<Site<S>>>) -> Response {
    Html(site.live.now(&site.source).await.html.clone()).into_response()
}

async fn events<S: Source>(State(site): State<Arc<Site<S>>>) -> Response {
    match site.live.listen(&site.source).await {
        Ok(feed) => ([(CONTENT_TYPE, "text/event-stream")], Body::new(feed)).into_response(),
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many windows look on: close some.\n").into_response()
        }
    }
}

async fn exported<S: Source>(State(site): State<Arc<Site<S>>>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], site.source.metrics().await).into_response()
}

async fn report<S: Source>(State(site): State<Arc<Site<S>>>, Path(study): Path<String>) -> Response {
    match site.source.report(study).await {
        Some(page) => ([(CONTENT_SECURITY_POLICY, REPORT_POLICY)], Html(page)).into_response(),
        None => (StatusCode::NOT_FOUND, "There is no such report.\n").into_response(),
    }
}

async fn log_in(
    State(gate): State<Arc<Gate>>,
    Extension(visitor): Extension<Visitor>,
    form: String,
) -> Response {
    // The token's characters are written as they are but for its colon.
    let text = form.strip_prefix("token=").unwrap_or_default().replace("%3A", ":");
    match gate.log_in(visitor.address, text.trim()) {
        Some(cookie) => ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        None => {
            (StatusCode::FORBIDDEN, login_page("This is not the token, or there were too many wrong ones."))
                .into_response()
        }
    }
}

fn login_page(problem: &str) -> Html<String> {
    let field = tag("input").with("type", "password").with("name", "token").with("id", "token");
    let field = field.with("autocomplete", "current-password").with("required", "required");
    let form = tag("form")
        .with("method", "post")
        .with("action", "/login")
        .child(tag("p").child(tag("label").with("for", "token").text("Access token ")).child(field))
        .child(tag("p").child(tag("button").with("type", "submit").text("Log in")));
    let mut main = tag("main").child(tag("h1").text("Consilium: log in"));
    if !problem.is_empty() {
        main = main.child(tag("p").with("role", "alert").with("class", "caution").text(problem));
    }
    Html(document("Consilium: log in", Vec::new(), vec![main.child(form)]))
}
