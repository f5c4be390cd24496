//! About how many tokens a text is, from the kinds of runs it is made of.
//!
//! A tokenizer cuts at the borders of words, numbers, signs and blanks, so that code with many signs has more tokens a byte than prose.
//! The weights are a least-squares fit against o200k counts of 1,230 results and arguments of recorded agent sessions: the relative
//! deviation is 8 % where bytes alone give 17 %, on sessions that were left out of the fit as well. They are scaled by 1.33, what Claude
//! counts for one token of o200k (measured on two sessions with provider usage). A session's receipts calibrate the rest away.

/// Tokens of Claude for one of o200k.
const SCALE: f64 = 1.33;

/// What a byte is to a tokenizer.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Small,
    Capital,
    Digit,
    Sign,
    Blank,
    LineEnd,
    Other,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Sign; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' => Kind::Small,
            b'A'..=b'Z' => Kind::Capital,
            b'0'..=b'9' => Kind::Digit,
            b' ' | b'\t' => Kind::Blank,
            b'\n' | b'\r' => Kind::LineEnd,
            128..=255 => Kind::Other,
            _ => Kind::Sign,
        };
        byte += 1;
    }
    kinds
};

/// Returns about how many tokens `text` is.
pub(crate) fn weigh(text: &str) -> f64 {
    let (mut words, mut capitals, mut numbers, mut signs, mut sign_runs, mut indents, mut ends, mut others) =
        (0u32, 0u32, 0u32, 0u32, 0u32, 0u32, 0u32, 0u32);
    let (mut last, mut run) = (Kind::LineEnd, 0u32);
    for byte in text.bytes() {
        let kind = KINDS[byte as usize];
        run = if kind == last { run + 1 } else { 1 };
        match kind {
            Kind::Small => words += u32::from(run == 1 && last != Kind::Capital),
            Kind::Capital => capitals += u32::from(run == 1),
            Kind::Digit => numbers += u32::from(run % 3 == 1),
            Kind::Sign => {
                signs += 1;
                sign_runs += u32::from(run == 1);
            }
            Kind::Blank => indents += u32::from(run == 2),
            Kind::LineEnd => ends += u32::from(run == 1),
            Kind::Other => others += 1,
        }
        last = kind;
    }
    let weighed = [
        (words, 1.05),
        (capitals, 1.16),
        (numbers, 1.59),
        (sign_runs, 0.64),
        (signs, 0.08),
        (indents, 1.24),
        (ends, 0.20),
        (others, 0.25),
    ];
    weighed.iter().map(|(count, weight)| f64::from(*count) * weight).sum::<f64>() * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_numbers_weigh_more_than_words() {
        let per_byte = |text: &str| weigh(text) / text.len() as f64;
        let (prose, code, numbers) =
            ("the quick brown fox jumps over it", "a[i]=f(x,{y:1});if(!z){--n}", "123456 98765 4711");
        assert!(per_byte(prose) < per_byte(code) && per_byte(code) < per_byte(numbers) * 1.5);
        assert_eq!(weigh(""), 0.0);
        assert!((weigh("hello world") / SCALE - 2.1).abs() < 0.01);
    }
}
