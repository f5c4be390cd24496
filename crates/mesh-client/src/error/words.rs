//! Whole words of a message: "error 5029" holds no 502, "contextual" is no context.

/// The words of a text in lower case; everything but letters and digits parts them, so `rate_limit` is two.
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn new(text: &str) -> Words {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        Words(words.map(str::to_lowercase).collect())
    }

    /// Where the words of a phrase stand next to each other, in this order.
    pub(super) fn position(&self, phrase: &str) -> Option<usize> {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        self.0
            .windows(phrase.len())
            .position(|window| window.iter().zip(&phrase).all(|(word, want)| word == want))
    }

    pub(super) fn has(&self, phrase: &str) -> bool {
        self.position(phrase).is_some()
    }

    pub(super) fn has_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.has(phrase))
    }

    /// The one word that there is.
    pub(super) fn only(&self) -> Option<&str> {
        match self.0.as_slice() {
            [word] => Some(word),
            _ => None,
        }
    }

    /// Three-digit numbers where a status stands: first, or after a word such as `status` or `error`.
    pub(super) fn statuses(&self) -> impl Iterator<Item = u16> + '_ {
        const BEFORE: [&str; 12] = [
            "status", "code", "error", "http", "got", "returned", "returns", "response", "received", "with",
            "a", "upstream",
        ];
        self.0.iter().enumerate().filter_map(|(at, word)| {
            let is_led = at == 0 || BEFORE.contains(&self.0[at - 1].as_str());
            (is_led && word.len() == 3).then(|| word.parse().ok()).flatten()
        })
    }
}
