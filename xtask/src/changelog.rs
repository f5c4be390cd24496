//! The changelog's sections: `## [0.2.0] - 2026-01-31`, with everything up to the next one.

use anyhow::{Result, bail};

/// One version's section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    /// `Unreleased` or a version.
    pub(crate) version: &'a str,
    /// What follows the version: the date.
    pub(crate) date: Option<&'a str>,
    /// The text without the heading, trimmed.
    pub(crate) body: &'a str,
}

/// Splits a changelog at its headings of second rank; what stands before the first one is no section.
pub(crate) fn sections(text: &str) -> Vec<Section<'_>> {
    let starts: Vec<usize> = text
        .match_indices("## ")
        .map(|(at, _)| at)
        .filter(|&at| at == 0 || text[..at].ends_with('\n'))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| section(&text[start..end])).collect()
}

fn section(text: &str) -> Section<'_> {
    let (heading, body) = text.split_once('\n').unwrap_or((text, ""));
    let heading = heading.trim_start_matches('#').trim();
    let (version, date) = match heading.split_once(" - ") {
        Some((version, date)) => (version, Some(date.trim())),
        None => (heading, None),
    };
    Section { version: version.trim().trim_matches(['[', ']']), date, body: body.trim() }
}

/// What the changelog says of a version that is to be released.
///
/// # Errors
/// When the version has no section, no date, or nothing to say.
pub(crate) fn notes<'a>(text: &'a str, version: &str) -> Result<&'a str> {
    let sections = sections(text);
    let Some(section) = sections.iter().find(|section| section.version == version) else {
        bail!("CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`");
    };
    if !section.date.is_some_and(is_date) {
        bail!("CHANGELOG.md gives {version} no date: `## [{version}] - YYYY-MM-DD`");
    }
    if section.body.is_empty() {
        bail!("CHANGELOG.md says nothing of {version}");
    }
    Ok(section.body)
}

/// The day that stands beside a version.
pub(crate) fn date<'a>(text: &'a str, version: &str) -> Option<&'a str> {
    sections(text).into_iter().find(|section| section.version == version)?.date
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Changelog

## [Unreleased]

### mesh-client
- Added: a thing ## not a heading

## [0.2.0] - 2026-01-31
### mesh-agent
- Fixed: another

## [0.1.0]
- First

## 0.0.2 - soon
- x
## [0.0.1] - 2025-12-01
";

    #[test]
    fn sections_end_where_the_next_begins() {
        let found = sections(TEXT);
        let versions: Vec<_> = found.iter().map(|section| (section.version, section.date)).collect();
        assert_eq!(
            versions,
            [
                ("Unreleased", None),
                ("0.2.0", Some("2026-01-31")),
                ("0.1.0", None),
                ("0.0.2", Some("soon")),
                ("0.0.1", Some("2025-12-01")),
            ]
        );
        assert_eq!(found[0].body, "### mesh-client\n- Added: a thing ## not a heading");
        assert_eq!(sections(""), []);
    }

    #[test]
    fn a_release_needs_a_dated_section_that_says_something() {
        assert_eq!(notes(TEXT, "0.2.0").unwrap(), "### mesh-agent\n- Fixed: another");
        for (version, why) in
            [("0.3.0", "no section"), ("0.1.0", "no date"), ("0.0.2", "no date"), ("0.0.1", "nothing")]
        {
            let error = notes(TEXT, version).unwrap_err().to_string();
            assert!(error.contains(why), "{version}: {error}");
        }
    }
}
