//! Many scans as a table: one row a scan, for a spreadsheet.

use std::io::{self, Write};

use consilium_domain::Modality;

use super::Forecast;

/// Writes comma-separated values: the scan's name, the fused probability with its spread and threshold, one column a
/// modality, and the reason where there is no answer.
///
/// # Errors
/// Where `out` refuses.
pub fn write_table<'a, E: std::fmt::Display + 'a>(
    out: impl Write,
    modalities: &[Modality],
    rows: impl IntoIterator<Item = (&'a str, Result<&'a Forecast, E>)>,
) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    let fixed = ["scan", "probability", "lowest_fold", "highest_fold", "threshold", "methylated"];
    let names = modalities.iter().map(|modality| modality.name());
    table.write_record(fixed.into_iter().chain(names).chain(["problem"]))?;
    for (scan, answer) in rows {
        let mut row = vec![harmless(scan)];
        match answer {
            Ok(forecast) => {
                let [low, high] = forecast.spread;
                row.extend([forecast.probability, low, high].map(|number| number.to_string()));
                row.push(forecast.threshold.map(|threshold| threshold.to_string()).unwrap_or_default());
                row.push(forecast.methylated.map(|methylated| methylated.to_string()).unwrap_or_default());
                row.extend(modalities.iter().map(|modality| {
                    let found = forecast.modalities.iter().find(|found| found.modality == *modality);
                    found.map(|found| found.probability.to_string()).unwrap_or_default()
                }));
                row.push(String::new());
            }
            Err(problem) => {
                row.extend(std::iter::repeat_n(String::new(), fixed.len() - 1 + modalities.len()));
                row.push(problem.to_string());
            }
        }
        table.write_record(row)?;
    }
    table.flush()
}

/// A name that a spreadsheet does not take for a formula.
fn harmless(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::{FoldForecast, ModalityForecast};
    use super::*;

    #[test]
    fn a_name_is_no_formula() {
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert_eq!(harmless("P-1"), "P-1");
    }

    #[test]
    fn every_row_has_every_column() {
        let modality = ModalityForecast::new(Modality::Flair, Vec::<FoldForecast>::new());
        let forecast = Forecast {
            study: "s".into(),
            probability: 0.5,
            spread: [0.25, 0.75],
            threshold: Some(0.4),
            methylated: Some(true),
            figures: None,
            modalities: vec![modality],
            warning: "",
        };
        let mut out = Vec::new();
        let rows = [("a", Ok(&forecast)), ("b", Err("it is broken, sadly"))];
        write_table(&mut out, &[Modality::T1gd, Modality::Flair], rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "scan,probability,lowest_fold,highest_fold,threshold,methylated,t1gd,flair,problem\n\
             a,0.5,0.25,0.75,0.4,true,,0,\n\
             b,,,,,,,,\"it is broken, sadly\"\n"
        );
    }
}
