//! The live page of a daemon and its `/metrics`: drawn here, served to few, read only.
//!
//! ```text
//! Source::page() --Page--> Live --one JSON snapshot a change--> listeners (server-sent events)
//! Source::metrics() --text--> Prometheus
//! ```
//!
//! A daemon is a [`Source`]; a [`Website`] shows it on loopback, or beyond it behind TLS and a login. What is shown is
//! drawn on this side as elements that escape every text ([`markup`]); the script in the browser only puts sections in
//! place. There is deliberately no request that changes anything, no file of another host, no template language, and no
//! knowledge of studies or patients.

mod attempts;
mod gate;
mod live;
pub mod markup;
pub mod metrics;
mod page;
mod routes;
mod sessions;
mod shown;
mod token;
mod website;

pub use page::{Page, Section};
pub use shown::{figure, grid, sentence};
pub use token::{AccessToken, TokenFileError};
pub use website::{Login, Trust, WebError, WebSettings, Website};

/// What a website shows. Asked again and again while somebody looks, so it must answer soon and hold up nobody.
pub trait Source: Send + Sync + 'static {
    /// The page as it is now.
    fn page(&self) -> impl Future<Output = Page> + Send;

    /// The metrics as they are now, made with [`metrics::Exposition`].
    fn metrics(&self) -> impl Future<Output = String> + Send;

    /// The finished page of the report of `study`, if there is one.
    fn report(&self, study: String) -> impl Future<Output = Option<String>> + Send;
}
