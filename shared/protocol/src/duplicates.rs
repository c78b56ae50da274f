//! Which cases to leave out, so that of every patient one copy stays.
//!
//! Cases are tied together where their fingerprints match, and a patient is everything that is tied together,
//! directly or through others. **The copy of the site with the fewest cases stays**, so that a small hospital
//! whose patients are all in a large archive is not emptied; of equal sites the first by name, of one site's
//! copies the first. What is found depends on the fingerprints alone, and on no order of arrival.
//!
//! The time is proportional to the number of tokens, whatever a site sends: a token is compared with a bounded
//! number of others, and one that a site repeats is not evidence for it. Names need no comparison: to have one in
//! common is to match. What a hostile site can still do stands in `docs/threat-model.md`.

use std::collections::BTreeMap;

use consilium_domain::{Fingerprint, FingerprintToken, IMAGE_BANDS, MATCHING_BANDS, Modality, SiteId};

/// Cases of one site that may share a token. A patient who is filed under more names than that at one hospital
/// is for the hospital to find; tokens that many of a site's cases have in common say nothing about a patient.
const MAX_REPEATS: usize = 4;
/// Earlier holders of an equal band that a case is compared with. Different patients hardly ever share one, and
/// copies of one patient are tied to each other in a chain.
const MAX_COMPARED: usize = 64;

/// For each site the numbers of those of its cases to leave out, ascending. Cases are numbered by their places
/// in `sites`.
pub fn to_exclude(sites: &BTreeMap<SiteId, &[Fingerprint]>) -> BTreeMap<SiteId, Vec<u32>> {
    // Whose copy stays comes first: of everything that is tied together, all but the first go.
    let mut ranked: Vec<(&SiteId, &[Fingerprint])> =
        sites.iter().map(|(site, cases)| (site, *cases)).collect();
    ranked.sort_by_key(|(site, cases)| (cases.len(), *site));
    let mut ties = Ties::of(&ranked);
    ties.by_name();
    for modality in Modality::ALL {
        (0..IMAGE_BANDS).for_each(|band| ties.by_band(modality, band));
    }
    let mut first = 0;
    let of_site = ranked.iter().map(|(site, cases)| {
        let numbers = 0..cases.len();
        let gone = numbers.filter(|number| ties.first_copy(first + number) != first + number);
        let gone = gone.map(|number| number as u32).collect();
        first += cases.len();
        ((*site).clone(), gone)
    });
    of_site.collect()
}

struct Case<'a> {
    site: usize,
    fingerprint: &'a Fingerprint,
}

/// Cases in order of rank, and what ties them together: a forest whose roots are the first of their trees
/// (Tarjan 1975, doi:10.1145/321879.321884).
struct Ties<'a> {
    cases: Vec<Case<'a>>,
    towards: Vec<usize>,
}

impl<'a> Ties<'a> {
    fn of(ranked: &[(&SiteId, &'a [Fingerprint])]) -> Self {
        let of_site = ranked
            .iter()
            .enumerate()
            .flat_map(|(site, (_, cases))| cases.iter().map(move |fingerprint| Case { site, fingerprint }));
        let cases: Vec<Case<'a>> = of_site.collect();
        Self { towards: (0..cases.len()).collect(), cases }
    }

    fn first_copy(&mut self, case: usize) -> usize {
        let mut at = case;
        while self.towards[at] != at {
            self.towards[at] = self.towards[self.towards[at]];
            at = self.towards[at];
        }
        at
    }

    fn tie(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first_copy(a), self.first_copy(b));
        self.towards[a.max(b)] = a.min(b);
    }

    fn by_name(&mut self) {
        let aliases = |case: &Case<'a>| case.fingerprint.aliases.iter().copied();
        for holders in self.holders(aliases) {
            holders.windows(2).for_each(|pair| self.tie(pair[0], pair[1]));
        }
    }

    fn by_band(&mut self, modality: Modality, band: usize) {
        let token =
            |case: &Case<'a>| case.fingerprint.images.get(&modality).map(|image| image.0[band]).into_iter();
        for holders in self.holders(token) {
            for (index, &case) in holders.iter().enumerate() {
                for &other in holders[..index].iter().rev().take(MAX_COMPARED) {
                    if self.first_copy(case) != self.first_copy(other) && self.alike(case, other, modality) {
                        self.tie(case, other);
                    }
                }
            }
        }
    }

    fn alike(&self, a: usize, b: usize, modality: Modality) -> bool {
        let image = |case: usize| self.cases[case].fingerprint.images.get(&modality);
        image(a).zip(image(b)).is_some_and(|(a, b)| a.equal_bands(b) >= MATCHING_BANDS)
    }

    /// For each token the cases that have it, ascending; none of a site that repeats it too often.
    fn holders<T: Iterator<Item = FingerprintToken>>(
        &self,
        tokens: impl Fn(&Case<'a>) -> T,
    ) -> Vec<Vec<usize>> {
        let cases = self.cases.iter().enumerate();
        let mut held: Vec<(FingerprintToken, usize)> =
            cases.flat_map(|(index, case)| tokens(case).map(move |token| (token, index))).collect();
        held.sort_unstable();
        held.dedup();
        let of_token = held.chunk_by(|a, b| a.0 == b.0).filter(|holders| holders.len() > 1);
        let by_site = |a: &(_, usize), b: &(_, usize)| self.cases[a.1].site == self.cases[b.1].site;
        of_token
            .map(|holders| {
                let sites = holders.chunk_by(by_site).filter(|repeats| repeats.len() <= MAX_REPEATS);
                sites.flatten().map(|(_, case)| *case).collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::ImageTokens;
    use proptest::prelude::*;

    use super::*;

    /// A case known by these names.
    fn named(names: &[u8]) -> Fingerprint {
        let mut aliases: Vec<_> = names.iter().map(|&name| FingerprintToken([name; 8])).collect();
        aliases.sort_unstable();
        Fingerprint { aliases, ..Fingerprint::default() }
    }

    /// A case with an image of which the first `changed` bands are its own.
    fn pictured(image: u8, own: u8, changed: usize) -> Fingerprint {
        let band = |band: usize| {
            FingerprintToken([if band < changed { own } else { image }, band as u8, 0, 0, 0, 0, 0, 0])
        };
        let image = ImageTokens(std::array::from_fn(band));
        Fingerprint { images: [(Modality::Flair, image)].into(), ..Fingerprint::default() }
    }

    fn excluded(sites: &[(&str, &[Fingerprint])]) -> Vec<(String, Vec<u32>)> {
        let sites = sites.iter().map(|(site, cases)| (site.parse().unwrap(), *cases)).collect();
        to_exclude(&sites).into_iter().map(|(site, cases)| (site.to_string(), cases)).collect()
    }

    fn gone(site: &str, cases: &[u32]) -> (String, Vec<u32>) {
        (site.to_owned(), cases.to_vec())
    }

    #[test]
    fn the_smaller_sites_copy_stays_then_the_first_by_name() {
        let (large, small) = ([named(&[1]), named(&[2]), named(&[3])], [named(&[9]), named(&[2])]);
        assert_eq!(excluded(&[("a", &large), ("b", &small)]), [gone("a", &[1]), gone("b", &[])]);
        assert_eq!(excluded(&[("b", &small), ("c", &small)]), [gone("b", &[]), gone("c", &[0, 1])]);
        assert_eq!(excluded(&[("a", &[]), ("b", &small)]), [gone("a", &[]), gone("b", &[])]);
    }

    #[test]
    fn copies_within_a_site_and_through_others_are_one_patient() {
        let twice = [named(&[1]), named(&[2]), named(&[1])];
        assert_eq!(excluded(&[("a", &twice)]), [gone("a", &[2])]);
        // a0 and c0 have nothing in common but b0.
        let (a, b, c) = ([named(&[1])], [named(&[1, 2])], [named(&[2])]);
        assert_eq!(
            excluded(&[("a", &a), ("b", &b), ("c", &c)]),
            [gone("a", &[]), gone("b", &[0]), gone("c", &[0])]
        );
    }

    #[test]
    fn images_match_from_enough_equal_bands_on() {
        let most = IMAGE_BANDS - MATCHING_BANDS;
        let other = |changed| [pictured(8, 8, 0), pictured(7, 1, changed)];
        let one = [pictured(7, 2, 0)];
        assert_eq!(excluded(&[("a", &one), ("b", &other(most))]), [gone("a", &[]), gone("b", &[1])]);
        assert_eq!(excluded(&[("a", &one), ("b", &other(most + 1))]), [gone("a", &[]), gone("b", &[])]);
    }

    #[test]
    fn a_site_that_repeats_a_token_ties_nobody_and_hides_nobody() {
        let honest = [named(&[1]), named(&[2])];
        let flood: Vec<Fingerprint> = (0..1_000).map(|_| named(&[1])).collect();
        let third = [named(&[3]), named(&[4]), named(&[1])];
        assert_eq!(
            excluded(&[("a", &honest), ("b", &flood), ("c", &third)]),
            [gone("a", &[]), gone("b", &[]), gone("c", &[2])]
        );
        let same: Vec<Fingerprint> = (0..1_000).map(|_| pictured(7, 0, 0)).collect();
        assert_eq!(excluded(&[("a", &same)]), [gone("a", &[])]);
    }

    #[test]
    fn a_patient_of_hundreds_of_sites_stays_once() {
        let cases = [pictured(7, 0, 0)];
        let sites: BTreeMap<SiteId, &[Fingerprint]> =
            (0..300).map(|site| (format!("site-{site:03}").parse().unwrap(), &cases[..])).collect();
        assert_eq!(to_exclude(&sites).values().filter(|gone| gone.is_empty()).count(), 1);
    }

    fn cases() -> impl Strategy<Value = Vec<Vec<Fingerprint>>> {
        let name = prop::collection::btree_set(0u8..12, 0..3)
            .prop_map(|names| named(&names.into_iter().collect::<Vec<_>>()));
        let image = (0u8..4, 0u8..4, 0usize..=IMAGE_BANDS)
            .prop_map(|(image, own, changed)| pictured(image, own, changed));
        let case = prop_oneof![name, image];
        // No more cases than a site may repeat: the rule for floods has a test of its own.
        prop::collection::vec(prop::collection::vec(case, 0..=MAX_REPEATS), 0..5)
    }

    proptest! {
        #[test]
        fn of_everything_tied_together_exactly_one_stays(cases in cases()) {
            let names: Vec<SiteId> = (0..cases.len()).map(|site| format!("s{site}").parse().unwrap()).collect();
            let sites = names.iter().cloned().zip(cases.iter().map(Vec::as_slice)).collect();
            let gone = to_exclude(&sites);
            let all: Vec<(usize, usize)> = cases.iter().enumerate()
                .flat_map(|(site, cases)| (0..cases.len()).map(move |case| (site, case))).collect();
            // Components by repeated relabelling: slow, and nothing like the code above.
            let mut label: Vec<usize> = (0..all.len()).collect();
            for _ in 0..all.len() {
                for (a, &(site, case)) in all.iter().enumerate() {
                    for (b, &(other, its)) in all.iter().enumerate() {
                        if cases[site][case].matches(&cases[other][its]) {
                            let least = label[a].min(label[b]);
                            (label[a], label[b]) = (least, least);
                        }
                    }
                }
            }
            let stays = |&(site, case): &(usize, usize)| !gone[&names[site]].contains(&(case as u32));
            for component in 0..all.len() {
                let members: Vec<_> = all.iter().enumerate().filter(|(index, _)| label[*index] == component).map(|(_, case)| case).collect();
                let kept: Vec<_> = members.iter().filter(|case| stays(case)).collect();
                let best = members.iter().min_by_key(|(site, case)| (cases[*site].len(), &names[*site], *case));
                prop_assert_eq!(kept.len(), usize::from(!members.is_empty()));
                prop_assert_eq!(kept.first().copied(), best);
            }
        }
    }
}
