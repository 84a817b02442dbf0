//! An HTML page around pictures and tables.

use std::fmt::Write;

use super::svg::escape;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;\
padding:0 1rem;color:#1f2328;background:#fff}svg{max-width:100%;height:auto}\
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid #e2e6ea}\
th:last-child,td:last-child{text-align:left}.how{color:#57606a}";

/// A page with a title; `body` is markup.
pub(crate) fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// Rows as a table, the first being its heading.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut table = String::from("<table>\n");
    for (index, row) in rows.iter().enumerate() {
        let cell = if index == 0 { "th" } else { "td" };
        table.push_str("<tr>");
        for text in row {
            let text = escape(text.trim());
            // A string takes all that is written to it.
            let _ = write!(table, "<{cell}>{text}</{cell}>");
        }
        table.push_str("</tr>\n");
    }
    table + "</table>\n"
}
