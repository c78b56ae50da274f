//! How the page looks, on a screen and in print. Dark text on white: every colour used for text or lines has a contrast
//! of at least 4.5 to 1.

/// The style sheet. No `<`, `&` or `>`: see `Element::style`.
pub(super) const SHEET: &str = "
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:72rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .3rem}
h2{font-size:1.3rem;margin:2.2rem 0 .6rem;border-bottom:2px solid #1a1a1a;padding-bottom:.2rem}
h3{font-size:1.05rem;margin:1.4rem 0 .4rem}
p,ul{max-width:46rem}
a{color:#0b4f8a}
nav ul{columns:3;padding-left:1.2rem}
.status{font-weight:600}
.caution{border:2px solid #8a3b00;padding:.5rem 1rem;max-width:46rem}
.scroll{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.2rem 0 .4rem;max-width:46rem}
th,td{border:1px solid #8a8a8a;padding:.22rem .5rem;text-align:left;vertical-align:top}
thead th{background:#eeeeee}
td.number{text-align:right;white-space:nowrap}
td.blank{background:#fff6d6;min-width:16rem}
code{font:.82rem/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
figure{display:inline-block;margin:.5rem 1rem .5rem 0;max-width:100%;vertical-align:top;break-inside:avoid}
figcaption{font-size:.86rem;max-width:30rem}
svg{max-width:100%;height:auto;background:#fff}
svg text{font:12px system-ui,sans-serif;fill:#1a1a1a}
@page{size:A4 landscape;margin:12mm}
@media print{body{font-size:10.5pt;padding:0;max-width:none}.scroll{overflow-x:visible}nav{display:none}
h2,h3,caption{break-after:avoid}tr{break-inside:avoid}thead{display:table-header-group}
*{print-color-adjust:exact}table{font-size:8.5pt}th,td{padding:.1rem .3rem;overflow-wrap:anywhere}}
";
