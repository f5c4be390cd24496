//! Pure: what the dial saved, as the line at the end of a turn.

use mesh_agent::{Savings, saver::Sum};
use mesh_client::Usd;

use crate::ui::line::{Line, Style};

/// What is said when the cheaper form of a request was refused.
pub fn off(note: &str) -> Line {
    Line::prose(Style::Warn, &format!("⚡ optimize: {note}"))
}

/// `⚡ optimize 0.3: saved $0.001200 against plain caching, session $0.004000 of $0.120000  •  5210 tok not sent, 41000 from cache`.
///
/// `None` where the dial did nothing. A sum carries `~` when a part of it is reckoned without usage, and is never rounded up to a
/// gain: what was paid ahead is said so.
pub fn line(savings: &Savings) -> Option<Line> {
    let last = savings.receipts.last()?;
    let is_estimate = savings.receipts.iter().any(|receipt| receipt.is_estimate);
    let (turn, session) = (savings.sum(), savings.session());
    let mut text = format!("⚡ optimize {}: ", last.dial);
    match turn.unpriced < turn.requests {
        true => {
            text.push_str(&saved(turn.saved_vs_native_usd, is_estimate));
            text.push_str(", session ");
            text.push_str(&of_total(&session, is_estimate));
        }
        false => text.push_str("no price is known for this model"),
    }
    let read: u64 = savings.receipts.iter().map(|receipt| receipt.cache_read).sum();
    text.push_str(&format!("  •  {} tok not sent, {read} from cache", last.tokens_cut));
    if savings.recalls > 0 {
        text.push_str(&format!(", {} read again", savings.recalls));
    }
    Some(Line::prose(Style::Dim, &text))
}

/// A saving against what the client's own caching would have cost, in words.
fn saved(usd: f64, is_estimate: bool) -> String {
    let mark = if is_estimate { "~" } else { "" };
    match usd < 0.0 {
        true => format!("paid {mark}{} ahead of later savings", Usd(-usd)),
        false => format!("saved {mark}{} against plain caching", Usd(usd)),
    }
}

/// The running sum, which may be negative, of what it would have been.
pub fn of_total(sum: &Sum, is_estimate: bool) -> String {
    let mark = if is_estimate { "~" } else { "" };
    let total = sum.billed_usd + sum.saved_vs_native_usd;
    format!("{mark}{} of {mark}{}", Usd(sum.saved_vs_native_usd), Usd(total))
}

#[cfg(test)]
mod tests {
    use mesh_agent::Receipt;

    use super::*;

    fn receipt(native: Option<f64>, session: f64) -> Receipt {
        Receipt {
            dial: 0.3,
            billed_usd: native.map(|_| 0.01),
            saved_vs_native_usd: native,
            saved_vs_uncached_usd: native.map(|usd| usd + 0.02),
            tokens_cut: 120,
            cache_read: 4000,
            session: Sum { requests: 3, billed_usd: 0.05, saved_vs_native_usd: session, ..Sum::default() },
            ..Receipt::default()
        }
    }

    #[test]
    fn gains_costs_and_unknown_prices() {
        let rows = [
            Savings { receipts: vec![receipt(Some(0.001), 0.001), receipt(Some(0.002), 0.003)], recalls: 0 },
            Savings { receipts: vec![receipt(Some(-0.004), -0.001)], recalls: 2 },
            Savings {
                receipts: vec![Receipt { is_estimate: true, ..receipt(Some(0.001), 0.001) }],
                recalls: 0,
            },
            Savings { receipts: vec![receipt(None, 0.0)], recalls: 0 },
        ];
        let lines: Vec<String> = rows.iter().filter_map(line).map(|line| line.plain().into_owned()).collect();
        insta::assert_snapshot!(lines.join("\n"));
        assert_eq!(line(&Savings::default()), None);
    }
}
