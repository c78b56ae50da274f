//! Sites as draws from a population of sites: random-effects meta-analysis.
//!
//! A pooled figure says how a model did on these patients; a meta-analysis over sites says how much sites
//! differ, and what the next one may expect.

mod areas;
mod random_effects;

pub use areas::{AreaVariance, AreasMetaAnalysis, LeftOut, SiteArea, meta_analyse_areas};
pub use random_effects::{Effect, RandomEffects, TauRule, random_effects};
